package config

import (
	"net/netip"
	"reflect"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// value decodes one node into v, which is of the type of the key f or of what that holds.
func (d *decoder) value(p *path, n *strictjson.Node, f *field, v reflect.Value) {
	if n.Kind == strictjson.Null {
		d.fail(p, "has no value; give it one or leave the key out", "")
		return
	}
	switch t := v.Type(); {
	case t == typeJSON:
		if n.Kind != strictjson.Object {
			d.wrong(p, n, f, t)
			return
		}
		v.SetBytes(Canonical(n))
	case t == typeStrings:
		d.strings(p, n, f, v)
	case isScalar(t):
		d.scalar(p, n, f, v)
	case t.Kind() == reflect.Struct:
		d.object(p, n, v)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.value(p, n, f, v.Elem())
	case t.Kind() == reflect.Slice:
		if n.Kind != strictjson.Array {
			d.wrong(p, n, f, t)
			return
		}
		v.Set(reflect.MakeSlice(t, len(n.Elems), len(n.Elems)))
		for i := range n.Elems {
			d.value(p.at(i), &n.Elems[i], f, v.Index(i))
		}
	case t.Kind() == reflect.Map:
		d.mapping(p, n, f, v)
	}
}

func (d *decoder) mapping(p *path, n *strictjson.Node, f *field, v reflect.Value) {
	t := v.Type()
	if n.Kind != strictjson.Object {
		d.wrong(p, n, f, t)
		return
	}
	v.Set(reflect.MakeMapWithSize(t, len(n.Members)))
	for i := range n.Members {
		m := &n.Members[i]
		if m.Name == "" || hasControl(m.Name) {
			d.failName(p.key(m.Name), "a name must not be empty or hold control characters", "")
			continue
		}
		elem := reflect.New(t.Elem()).Elem()
		d.value(p.key(m.Name), &m.Value, f, elem)
		v.SetMapIndex(reflect.ValueOf(m.Name), elem)
	}
}

// strings takes a string, a boolean, or a list of strings.
func (d *decoder) strings(p *path, n *strictjson.Node, f *field, v reflect.Value) {
	switch n.Kind {
	case strictjson.Bool:
		v.Set(reflect.ValueOf(Strings{strconv.FormatBool(n.Bool)}))
	case strictjson.String:
		out := make(Strings, 1)
		d.scalar(p, n, f, reflect.ValueOf(&out[0]).Elem())
		v.Set(reflect.ValueOf(out))
	case strictjson.Array:
		out := make(Strings, len(n.Elems))
		for i := range n.Elems {
			d.value(p.at(i), &n.Elems[i], f, reflect.ValueOf(&out[i]).Elem())
		}
		v.Set(reflect.ValueOf(out))
	default:
		d.wrong(p, n, f, typeStrings)
	}
}

// scalar decodes one value. An empty text is an absent one, which required keys refuse and others have by default.
func (d *decoder) scalar(p *path, n *strictjson.Node, f *field, v reflect.Value) {
	t := v.Type()
	text, isText := n.Str()
	zero := n.Kind == strictjson.Number && string(n.Text) == "0" && (t == typeDuration || t == typeSize)
	switch {
	case t.Kind() == reflect.Bool && n.Kind == strictjson.Bool:
		v.SetBool(n.Bool)
	case t.Kind() == reflect.Int && n.Kind == strictjson.Number:
		i, ok := n.Int64()
		if !ok || int64(int(i)) != i {
			d.wrong(p, n, f, t)
			return
		}
		v.SetInt(i)
		d.bounds(p, n, f, t, i)
	case !isText && !zero || t.Kind() == reflect.Bool || t.Kind() == reflect.Int:
		d.wrong(p, n, f, t)
	case hasControl(text):
		d.fail(p, "must not hold control characters", "")
	case zero:
		d.text(p, n, "0", f, v)
	case text == "" && (t == typePath || t == typeRef):
		// No path, no reference.
	default:
		d.text(p, n, text, f, v)
	}
}

func (d *decoder) text(p *path, n *strictjson.Node, text string, f *field, v reflect.Value) {
	var got any
	var err error
	var whole int64
	t := v.Type()
	switch t {
	case typeDuration:
		var x Duration
		x, err = ParseDuration(text)
		got, whole = x, int64(x)
	case typeSize:
		var x Size
		x, err = ParseSize(text)
		got, whole = x, int64(x)
	case typeRef:
		var x Ref
		x, err = ParseRef(text, f.allowed()...)
		x.Private = f.private
		got = x
	case typePrefix:
		var x netip.Prefix
		if x, err = netip.ParsePrefix(text); err == nil && x != x.Masked() {
			d.fail(p, "bits are set behind the prefix length", x.Masked().String())
			return
		}
		got = x
	case typePath:
		got, err = secret.ParsePath(text)
	case typePattern:
		got, err = secret.ParseConfigPattern(text)
	default:
		if d.checkString(p, n, text, f, t) {
			v.SetString(text)
		}
		return
	}
	switch {
	case err == nil:
		v.Set(reflect.ValueOf(got))
		d.bounds(p, n, f, t, whole)
	case t == typePath || t == typePattern:
		// These say what is wrong and where in the text.
		d.fail(p, err.Error(), "")
	default:
		d.wrong(p, n, f, t)
	}
}

// bounds holds a number, duration or size against the limits of its key.
func (d *decoder) bounds(p *path, n *strictjson.Node, f *field, t reflect.Type, x int64) {
	low, high := number(t, f.min), number(t, f.max)
	switch {
	case (f.min == "" || x >= low) && (f.max == "" || x <= high):
	case f.min != "" && f.min == f.max:
		d.fail(p, "must be "+f.min+", not "+describe(n, false), "")
	case f.min != "" && f.max != "":
		d.fail(p, "must be between "+f.min+" and "+f.max+", not "+describe(n, false), "")
	case f.min != "":
		d.fail(p, "must be at least "+f.min+", not "+describe(n, false), "")
	default:
		d.fail(p, "must be at most "+f.max+", not "+describe(n, false), "")
	}
}

// number reads a bound; "" is 0.
func number(t reflect.Type, s string) int64 {
	switch t {
	case typeDuration:
		d, _ := ParseDuration(s)
		return int64(d)
	case typeSize:
		b, _ := ParseSize(s)
		return int64(b)
	}
	i, _ := strconv.ParseInt(s, 10, 64)
	return i
}

// textNode is the node that a document would have for a text: how defaults and environment variables become values.
func textNode(t reflect.Type, text string) *strictjson.Node {
	n := &strictjson.Node{Kind: strictjson.String, Text: []byte(text)}
	switch t.Kind() {
	case reflect.Bool:
		if text == "true" || text == "false" {
			return &strictjson.Node{Kind: strictjson.Bool, Bool: text == "true"}
		}
	case reflect.Int:
		number := &strictjson.Node{Kind: strictjson.Number, Text: []byte(text)}
		if _, ok := number.Int64(); ok && text[0] != '+' {
			return number
		}
	}
	return n
}

// allowed is the schemes that a reference may have.
func (f *field) allowed() []string {
	if f.schemes != nil {
		return f.schemes
	}
	return []string{"file", "env", "kms"}
}
