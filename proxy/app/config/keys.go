package config

import (
	"reflect"
	"strings"
)

// Key describes one key of the document, as the tags of its field do. Schemas and reference pages are made from it.
type Key struct {
	Path     string   // as in mounts[].cache.soft_ttl, with [] for each element and * for each name
	Type     string   // what it takes, with an example
	Default  string   // as a document would write it; "" where there is none
	Required bool     // the key must be there
	Enum     []string // its values, where the set is closed
	Min, Max string   // bounds, as a document would write them
	Only     string   // the union key's values that the key is for, as in "type vault"; "" for all
	Private  bool     // a file that it names must be readable by its owner alone
	Doc      string
}

// Keys describes every key, in the order of the fields.
func Keys() []Key {
	w := &keyWalker{schemas: schemas{}}
	w.object("", reflect.TypeFor[Config](), "")
	return w.keys
}

type keyWalker struct {
	schemas schemas
	keys    []Key
}

func (w *keyWalker) object(at string, t reflect.Type, only string) {
	o := w.schemas.of(t)
	for i := range o.fields {
		f := &o.fields[i]
		name := strings.TrimPrefix(at+"."+f.name, ".")
		w.keys = append(w.keys, Key{
			Path: name, Type: w.takes(f), Default: f.def, Required: f.required != "" && !f.hasDef, Enum: f.enum, Min: f.min, Max: f.max,
			Only: only, Private: f.private, Doc: f.doc,
		})
		w.below(name, f.typ)
	}
	for _, alt := range o.variants {
		w.object(at, alt.pointer.Elem(), o.union.name+" "+strings.Join(alt.names, " or "))
	}
}

// takes says what a key takes, in either form where there are two.
func (w *keyWalker) takes(f *field) string {
	text := wanted(f, f.typ)
	if t := inner(f.typ); t.Kind() == reflect.Struct && !isScalar(t) {
		if short := w.schemas.of(t).shorthand; short != nil {
			return wanted(short, short.typ) + ", or " + text
		}
	}
	return text
}

func (w *keyWalker) below(at string, t reflect.Type) {
	switch {
	case isScalar(t) || t == typeJSON || t == typeStrings:
	case t.Kind() == reflect.Struct:
		w.object(at, t, "")
	case t.Kind() == reflect.Pointer:
		w.below(at, t.Elem())
	case t.Kind() == reflect.Slice:
		w.below(at+"[]", t.Elem())
	case t.Kind() == reflect.Map:
		w.below(at+".*", t.Elem())
	}
}
