package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// SchemaID names the JSON Schema of this version's documents.
const SchemaID = "urn:keyhole:configuration:1"

// jsonObject is a JSON object of a schema.
type jsonObject = map[string]any

// JSONSchema is the JSON Schema (draft 2020-12) of the document, from the same descriptions as Keys. Editors complete and
// check with it; it takes every document that Decode takes, and some that Decode refuses, since what goes together and
// what a path or pattern may be is more than a schema can say.
func JSONSchema() ([]byte, error) {
	s := (&schemaWriter{schemas{}}).object(reflect.TypeFor[Config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = SchemaID
	s["title"] = "Keyhole configuration"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the JSON Schema: %w", err)
	}
	return append(out, '\n'), nil
}

type schemaWriter struct{ schemas schemas }

// object describes a struct: one form, or one for each value of its union key.
func (w *schemaWriter) object(t reflect.Type) jsonObject {
	o := w.schemas.of(t)
	var out jsonObject
	if o.union == nil {
		out = w.form(o, nil, "")
	} else {
		var forms []any
		for _, kind := range o.union.enum {
			var mine *object
			for _, alt := range o.variants {
				if contains(alt.names, kind) {
					mine = w.schemas.of(alt.pointer.Elem())
				}
			}
			forms = append(forms, w.form(o, mine, kind))
		}
		out = jsonObject{"oneOf": forms}
	}
	if o.shorthand != nil {
		return jsonObject{"anyOf": []any{w.value(o.shorthand, o.shorthand.typ), out}}
	}
	return out
}

// form describes the object o with the keys of its part mine, where the union key is kind.
func (w *schemaWriter) form(o, mine *object, kind string) jsonObject {
	properties := jsonObject{}
	required := []string{}
	for _, part := range []*object{o, mine} {
		if part == nil {
			continue
		}
		for i := range part.fields {
			f := &part.fields[i]
			properties[f.name] = w.key(f)
			if f.required != "" && !f.hasDef {
				required = append(required, f.name)
			}
		}
	}
	if kind != "" {
		properties[o.union.name] = jsonObject{"const": kind, "description": o.union.doc}
		if o.union.required == "" && o.union.def != kind {
			required = append(required, o.union.name)
		}
	}
	return jsonObject{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// key describes a key with its documentation.
func (w *schemaWriter) key(f *field) jsonObject {
	s := w.value(f, f.typ)
	doc := f.doc
	if f.typ == typeDuration || f.typ == typeSize {
		if f.min != "" {
			doc += " At least " + f.min + "."
		}
		if f.max != "" {
			doc += " At most " + f.max + "."
		}
	}
	s["description"] = doc
	if f.hasDef {
		s["default"] = defaultOf(f)
	}
	if f.required == "true" {
		switch s["type"] {
		case "string":
			s["minLength"] = 1
		case "array":
			s["minItems"] = 1
		case "object":
			if f.typ.Kind() == reflect.Map {
				s["minProperties"] = 1
			}
		}
	}
	return s
}

func defaultOf(f *field) any {
	n := textNode(f.typ, f.def)
	if i, ok := n.Int64(); ok {
		return i
	}
	if text, ok := n.Str(); ok {
		return text
	}
	return n.Bool
}

const (
	durationPattern = `^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
	sizePattern     = `^(0|[0-9]+(B|KiB|MiB|GiB|TiB))$`
)

func (w *schemaWriter) value(f *field, t reflect.Type) jsonObject {
	switch t {
	case typeDuration:
		return jsonObject{"anyOf": []any{jsonObject{"type": "string", "pattern": durationPattern}, jsonObject{"const": 0}}}
	case typeSize:
		return jsonObject{"anyOf": []any{jsonObject{"type": "string", "pattern": sizePattern}, jsonObject{"const": 0}}}
	case typeRef:
		return jsonObject{"type": "string", "pattern": "^$|^(" + strings.Join(f.allowed(), "|") + "):."}
	case typeJSON:
		return jsonObject{"type": "object"}
	case typeStrings:
		text := jsonObject{"type": "string"}
		return jsonObject{"anyOf": []any{text, jsonObject{"type": "boolean"}, jsonObject{"type": "array", "items": text}}}
	}
	switch {
	case t.Kind() == reflect.Bool:
		return jsonObject{"type": "boolean"}
	case t.Kind() == reflect.Int:
		s := jsonObject{"type": "integer"}
		if f.min != "" {
			s["minimum"] = number(t, f.min)
		}
		if f.max != "" {
			s["maximum"] = number(t, f.max)
		}
		return s
	case isScalar(t):
		s := jsonObject{"type": "string"}
		if f.enum != nil {
			s["enum"] = f.enum
		}
		return s
	case t.Kind() == reflect.Pointer:
		return w.value(f, t.Elem())
	case t.Kind() == reflect.Slice:
		return jsonObject{"type": "array", "items": w.value(f, t.Elem())}
	case t.Kind() == reflect.Map:
		return jsonObject{"type": "object", "additionalProperties": w.value(f, t.Elem()), "propertyNames": jsonObject{"minLength": 1}}
	}
	return w.object(t)
}
