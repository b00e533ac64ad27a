package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Render writes c as one canonical JSON document with every default spelled out, so that what another build has for a
// default does not matter. Reading it gives an equal Config, but for Dir and FromPort. It fails only on a Config that
// no document can mean.
func Render(c *Config) ([]byte, error) {
	n, err := (&encoder{schemas{}}).object(reflect.ValueOf(c).Elem())
	if err != nil {
		return nil, fmt.Errorf("rendering the configuration: %w", err)
	}
	return Canonical(n), nil
}

// encoder is the decoder the other way round.
type encoder struct{ schemas schemas }

func (e *encoder) object(v reflect.Value) (*strictjson.Node, error) {
	n := &strictjson.Node{Kind: strictjson.Object}
	if err := e.members(n, v); err != nil {
		return nil, err
	}
	for _, alt := range e.schemas.of(v.Type()).variants {
		if part := v.Field(alt.index); !part.IsNil() {
			if err := e.members(n, part.Elem()); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

func (e *encoder) members(n *strictjson.Node, v reflect.Value) error {
	o := e.schemas.of(v.Type())
	for i := range o.fields {
		f := &o.fields[i]
		x := v.Field(f.index)
		// A key without a default is absent where it is zero; the others say their zero.
		if x.IsZero() && !f.hasDef && f.required == "" && (isScalar(f.typ) || x.Kind() != reflect.Struct) {
			continue
		}
		value, err := e.value(x)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		n.Members = append(n.Members, strictjson.Member{Name: f.name, Value: *value})
	}
	return nil
}

func (e *encoder) value(v reflect.Value) (*strictjson.Node, error) {
	switch x := v.Interface().(type) {
	case JSON:
		return strictjson.Parse(x, strictjson.Limits{Bytes: MaxJSONBytes, Depth: MaxDepth, Nodes: MaxNodes})
	case Duration:
		return textNode(v.Type(), formatDuration(x)), nil
	case Size:
		return textNode(v.Type(), x.String()), nil
	case Ref:
		return textNode(v.Type(), x.String()), nil
	case secret.Path:
		return textNode(v.Type(), x.String()), nil
	case secret.Pattern:
		return textNode(v.Type(), x.String()), nil
	case netip.Prefix:
		return textNode(v.Type(), x.String()), nil
	case bool:
		return &strictjson.Node{Kind: strictjson.Bool, Bool: x}, nil
	case int:
		return &strictjson.Node{Kind: strictjson.Number, Text: strconv.AppendInt(nil, int64(x), 10)}, nil
	case string:
		return textNode(v.Type(), x), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return e.value(v.Elem())
	case reflect.Struct:
		return e.object(v)
	case reflect.Slice:
		n := &strictjson.Node{Kind: strictjson.Array, Elems: make([]strictjson.Node, v.Len())}
		for i := range n.Elems {
			elem, err := e.value(v.Index(i))
			if err != nil {
				return nil, err
			}
			n.Elems[i] = *elem
		}
		return n, nil
	case reflect.Map:
		n := &strictjson.Node{Kind: strictjson.Object}
		for _, key := range v.MapKeys() {
			elem, err := e.value(v.MapIndex(key))
			if err != nil {
				return nil, err
			}
			n.Members = append(n.Members, strictjson.Member{Name: key.String(), Value: *elem})
		}
		return n, nil
	}
	return nil, fmt.Errorf("no document can hold a %s", v.Type())
}
