package config

import (
	"reflect"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// decoder fills structs from nodes, guided by the tags of their fields alone.
type decoder struct {
	doc     *Document
	schemas schemas
	errs    Errors
}

func (d *decoder) document(c *Config) {
	if d.doc.root.Kind != strictjson.Object {
		d.fail(nil, "want a document of keys and values such as version: 1", "")
		return
	}
	d.object(nil, d.doc.root, reflect.ValueOf(c).Elem())
}

// fail reports a problem with the value at p, or with its absence.
func (d *decoder) fail(p *path, msg, suggestion string) {
	pl := locate(d.doc.root, p)
	d.report(pl.path, pl.node.Line, pl.node.Col, msg, suggestion)
}

// failName reports a problem with the name at p.
func (d *decoder) failName(p *path, msg, suggestion string) {
	pl := locate(d.doc.root, p)
	d.report(pl.path, pl.nameLine, pl.nameCol, msg, suggestion)
}

func (d *decoder) report(p *path, line, col int, msg, suggestion string) {
	e := &Error{d.doc.file, line, col, p.String(), msg, suggestion}
	if name, ok := d.doc.origins[e.Key]; ok {
		e.File, e.Line, e.Col = name, 0, 0
	}
	d.errs = append(d.errs, e)
}

// object fills a struct; n is nil where the document has no such object, which means the defaults of its keys.
func (d *decoder) object(p *path, n *strictjson.Node, v reflect.Value) {
	o := d.schemas.of(v.Type())
	if n != nil && n.Kind == strictjson.String && o.shorthand != nil {
		d.value(p, n, o.shorthand, v.Field(o.shorthand.index))
		return
	}
	if n != nil && n.Kind != strictjson.Object {
		what := "want an object of keys and values"
		if o.shorthand != nil {
			what = "want " + wanted(o.shorthand, o.shorthand.typ) + ", or an object with it"
		}
		d.fail(p, what+", not "+describe(n, o.shorthand == nil), "")
		return
	}
	d.members(p, n, o, v)
	var mine *object
	var kind string
	if o.union != nil {
		kind = v.Field(o.union.index).String()
	}
	for _, alt := range o.variants {
		if contains(alt.names, kind) {
			part := reflect.New(alt.pointer.Elem())
			v.Field(alt.index).Set(part)
			mine = d.schemas.of(alt.pointer.Elem())
			d.members(p, n, mine, part.Elem())
		}
	}
	if n == nil {
		return
	}
	for i := range n.Members {
		if name := n.Members[i].Name; o.field(name) == nil && (mine == nil || mine.field(name) == nil) {
			d.unknown(p, name, o, mine, kind)
		}
	}
}

func (d *decoder) members(p *path, n *strictjson.Node, o *object, v reflect.Value) {
	for i := range o.fields {
		f := &o.fields[i]
		var value *strictjson.Node
		if n != nil {
			value = n.Get(f.name)
		}
		if value == nil {
			d.absent(p.key(f.name), f, v.Field(f.index))
			continue
		}
		before := len(d.errs)
		d.value(p.key(f.name), value, f, v.Field(f.index))
		if f.required == "true" && len(d.errs) == before && isEmpty(v.Field(f.index)) {
			d.fail(p.key(f.name), "must not be empty; want "+wanted(f, f.typ), "")
		}
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	if r, ok := v.Interface().(Ref); ok {
		return r.IsZero()
	}
	return v.IsZero()
}

// absent gives a key that the document does not have its default.
func (d *decoder) absent(p *path, f *field, v reflect.Value) {
	switch {
	case f.hasDef:
		d.value(p, textNode(f.typ, f.def), f, v)
	case f.required != "":
		d.fail(p, "this key is required; want "+wanted(f, f.typ), "")
	case v.Kind() == reflect.Struct && !isScalar(f.typ):
		d.object(p, nil, v)
	}
}

// unknown reports a key that an object does not have.
func (d *decoder) unknown(p *path, name string, o, mine *object, kind string) {
	known := names(o)
	if mine != nil {
		known = append(known, names(mine)...)
	}
	for _, alt := range o.variants {
		other := d.schemas.of(alt.pointer.Elem())
		if other.field(name) == nil {
			known = append(known, onlyIf(kind == "", names(other))...)
			continue
		}
		// With a wrong or missing kind that is the problem, and it is reported already.
		if contains(o.union.enum, kind) {
			d.failName(p.key(name), "only "+o.union.name+" "+strings.Join(alt.names, " or ")+" has this key, not "+o.union.name+" "+kind, "")
		}
		return
	}
	d.failName(p.key(name), "unknown key", suggest(name, known))
}

func names(o *object) []string {
	out := make([]string, len(o.fields))
	for i := range o.fields {
		out[i] = o.fields[i].name
	}
	return out
}

func onlyIf(cond bool, s []string) []string {
	if cond {
		return s
	}
	return nil
}

func contains(list []string, s string) bool {
	for i := range list {
		if list[i] == s {
			return true
		}
	}
	return false
}
