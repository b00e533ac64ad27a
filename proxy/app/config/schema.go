package config

import (
	"reflect"
	"strings"
)

// The tags of a field, all that is known of its key:
//
//	key        name in the document; fields without key or variant are not part of it
//	doc        one sentence for people
//	default    what an absent key means, as a document would write it
//	required   "true": there must be a value, the default if any. "present": the key must be there and may be empty
//	enum       the values, with "|" between
//	min, max   bounds of a number, duration or size, as a document would write them
//	format     what a string must be: see formats
//	schemes    schemes that a reference may have; file|env|kms when absent
//	private    the reference leads to something that nobody else may read
//	shorthand  a document may write this key's value in place of the whole object
//	union      the key that says which variant the object is
//	variant    on a struct field without key: its keys belong to the object where the union key has one of these values
type field struct {
	index     int
	name      string
	typ       reflect.Type
	doc       string
	def       string
	hasDef    bool
	required  string
	enum      []string
	min, max  string
	format    string
	schemes   []string
	private   bool
	shorthand bool
}

// variant is keys that an object has only for some values of its union key.
type variant struct {
	index   int
	names   []string
	pointer reflect.Type
}

// object describes a struct type.
type object struct {
	fields    []field
	variants  []variant
	union     *field
	shorthand *field
}

// schemas remembers descriptions, for a document may hold thousands of objects of one type.
type schemas map[reflect.Type]*object

func (s schemas) of(t reflect.Type) *object {
	if o := s[t]; o != nil {
		return o
	}
	o := &object{fields: make([]field, 0, t.NumField())}
	s[t] = o
	for i := range t.NumField() {
		f := field{index: i, typ: t.Field(i).Type}
		names, union := f.read(string(t.Field(i).Tag))
		if names != nil {
			o.variants = append(o.variants, variant{i, names, f.typ})
		}
		if f.name == "" {
			continue
		}
		o.fields = append(o.fields, f)
		last := &o.fields[len(o.fields)-1]
		if union {
			o.union = last
		}
		if f.shorthand {
			o.shorthand = last
		}
	}
	return o
}

// read takes a field's tags in one pass, since each look-up by name would scan them all again, at every cold start. The
// values hold no escapes.
func (f *field) read(tags string) (variants []string, union bool) {
	for {
		name, rest, ok := strings.Cut(tags, `:"`)
		if !ok {
			return variants, union
		}
		var value string
		value, tags, _ = strings.Cut(rest, `"`)
		tags = strings.TrimPrefix(tags, " ")
		switch name {
		case "key":
			f.name = value
		case "doc":
			f.doc = value
		case "default":
			f.def, f.hasDef = value, true
		case "required":
			f.required = value
		case "enum":
			f.enum = list(value)
		case "min":
			f.min = value
		case "max":
			f.max = value
		case "format":
			f.format = value
		case "schemes":
			f.schemes = list(value)
		case "private":
			f.private = true
		case "shorthand":
			f.shorthand = true
		case "union":
			union = true
		case "variant":
			variants = list(value)
		}
	}
}

// field finds a key of the object itself, without its variants.
func (o *object) field(name string) *field {
	for i := range o.fields {
		if o.fields[i].name == name {
			return &o.fields[i]
		}
	}
	return nil
}

func list(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, "|")
}

// inner is the type of what a list, map or pointer holds, and of anything else the type itself.
func inner(t reflect.Type) reflect.Type {
	if isScalar(t) || t == typeJSON || t == typeStrings {
		return t
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return inner(t.Elem())
	}
	return t
}

func isScalar(t reflect.Type) bool {
	switch t {
	case typeDuration, typeSize, typeRef, typePath, typePattern, typePrefix:
		return true
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.String:
		return true
	}
	return false
}

// secretive reports whether values of a key are never quoted: a reference may turn out to be the secret itself, pasted
// in the wrong place.
func (f *field) secretive() bool {
	if t := inner(f.typ); t == typeRef || t == typeStrings || t == typeJSON || f.private {
		return true
	}
	return f.secretiveName()
}

// secretiveName reports whether the name of a key says that its value is secret, or leads to what is.
func (f *field) secretiveName() bool {
	for _, word := range []string{"key", "secret", "token", "password", "credential"} {
		if strings.Contains(f.name, word) {
			return true
		}
	}
	return false
}
