package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Setting is one value of a configuration in force.
type Setting struct {
	Key    string `json:"key"`    // as in Error.Key
	Value  string `json:"value"`  // as a document would write it; what may be secret is left out
	Origin string `json:"origin"` // as Document.Origin
}

// Explain lists every value of c, which Decode made of d, and where it came from, in the order of the keys. References
// are shown, what they lead to is not read; data for policies and texts whose name says that they are secret are not
// shown. A URL holds no password: Decode refuses it.
func (d *Document) Explain(c *Config) ([]Setting, error) {
	e := explainer{doc: d, encoder: encoder{schemas{}}}
	if err := e.object(nil, reflect.ValueOf(c).Elem()); err != nil {
		return nil, fmt.Errorf("explaining the configuration: %w", err)
	}
	return e.out, nil
}

type explainer struct {
	doc     *Document
	encoder encoder
	out     []Setting
}

func (e *explainer) object(p *path, v reflect.Value) error {
	o := e.encoder.schemas.of(v.Type())
	for i := range o.fields {
		f := &o.fields[i]
		x := v.Field(f.index)
		if x.IsZero() && !f.hasDef && f.required == "" && (isScalar(f.typ) || x.Kind() != reflect.Struct) {
			continue
		}
		if err := e.value(p.key(f.name), f, x); err != nil {
			return err
		}
	}
	for _, alt := range o.variants {
		if part := v.Field(alt.index); !part.IsNil() {
			if err := e.object(p, part.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *explainer) value(p *path, f *field, v reflect.Value) error {
	switch t := v.Type(); {
	case t == typeJSON:
		e.add(p, "("+strconv.Itoa(v.Len())+" bytes, not shown)")
	case isScalar(t):
		return e.scalar(p, v)
	case t.Kind() == reflect.Pointer:
		return e.value(p, f, v.Elem())
	case t.Kind() == reflect.Struct:
		return e.object(p, v)
	case v.Len() == 0:
		e.add(p, map[bool]string{true: "{}", false: "[]"}[t.Kind() == reflect.Map])
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			if err := e.value(p.at(i), f, v.Index(i)); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Map:
		names := make([]string, 0, v.Len())
		for _, k := range v.MapKeys() {
			names = append(names, k.String())
		}
		slices.Sort(names)
		for _, name := range names {
			if err := e.value(p.key(name), f, v.MapIndex(reflect.ValueOf(name))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *explainer) scalar(p *path, v reflect.Value) error {
	n, err := e.encoder.value(v)
	if err != nil {
		return err
	}
	text := string(n.Text)
	switch {
	case n.Kind == strictjson.Bool:
		text = strconv.FormatBool(n.Bool)
	case n.Kind != strictjson.String || v.Type() == typeRef:
	case namesSecret(p):
		text = "(not shown)"
	}
	e.add(p, text)
	return nil
}

// namesSecret reports whether a name on the way to a text says that it is one that nobody should see.
func namesSecret(p *path) bool {
	for ; p != nil; p = p.parent {
		if f := (&field{name: p.name}); p.index < 0 && f.secretiveName() {
			return true
		}
	}
	return false
}

func (e *explainer) add(p *path, value string) {
	e.out = append(e.out, Setting{p.String(), value, e.doc.origin(p)})
}

// origin is Origin for a place: a value that stands for its whole object, or for a list, is where the part came from.
func (d *Document) origin(p *path) string {
	for at := p; at != nil; at = at.parent {
		if v, ok := d.origins[at.String()]; ok {
			return v
		}
	}
	pl := locate(d.root, p)
	if n := pl.node; n.Line > 0 && (pl.found || n.Kind != strictjson.Object && n.Kind != strictjson.Array) {
		return fmt.Sprintf("%s:%d:%d", d.file, n.Line, n.Col)
	}
	return "default"
}
