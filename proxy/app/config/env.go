package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

const (
	envPrefix = "KEYHOLE"
	envSep    = "__"
	nativeVar = envPrefix + envSep + "LISTEN" + envSep + "NATIVE"
)

// setting is what one environment variable can set.
type setting struct {
	key       *path
	typ       reflect.Type
	shorthand string // the key to set where an object stands at key
	list      bool   // a list, which no variable can set
	twice     bool   // two names of the document are written alike in the environment
}

// ApplyEnv puts environment variables over the document; environ is as from os.Environ. KEYHOLE__IDENTITY__MAX_TTL sets
// identity.max_ttl: two underscores between levels, upper case, and "_" for "-" and "." in names that the document
// gives. Only single values can be set, not lists or what they hold. A variable that starts with KEYHOLE__ and sets
// nothing is an error; all others are ignored but PORT, which makes 0.0.0.0:PORT the native address and permits plain
// HTTP there, unless KEYHOLE__LISTEN__NATIVE chooses the address. Types are checked by Decode. Every error is an Errors.
func (d *Document) ApplyEnv(environ []string) error {
	// The walk through the whole schema is for what a start has seldom.
	if d.root.Kind != strictjson.Object || !slices.ContainsFunc(environ, concerns) { // Decode says what is no object
		return nil
	}
	settings := map[string]*setting{}
	collect(settings, schemas{}, envPrefix, nil, reflect.TypeFor[Config](), d.root)
	var errs Errors
	fail := func(name, msg, suggestion string) {
		errs = append(errs, &Error{File: name, Msg: msg, Suggestion: suggestion})
	}
	port, hasPort := "", false
	environ = slices.Sorted(slices.Values(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if name == "PORT" {
			port, hasPort = value, value != ""
		}
		if !strings.HasPrefix(name, envPrefix+envSep) {
			continue
		}
		s := settings[name]
		switch {
		case s == nil && underList(settings, name), s != nil && s.list:
			fail(name, "lists cannot be set from the environment; change the document", "")
		case s == nil:
			fail(name, "sets nothing that the document has", suggest(name, settable(settings)))
		case s.twice:
			fail(name, "several names of the document are written so; change the document", "")
		case !utf8.ValidString(value):
			fail(name, "the value is not UTF-8", "")
		default:
			d.set(s, value, name)
		}
	}
	if _, chosen := d.origins["listen.native"]; chosen || d.origins["listen.native.address"] != "" {
		hasPort = false
	}
	if hasPort {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			fail("PORT", "want a port number such as 8080", "")
		} else {
			d.set(settings[nativeVar], "0.0.0.0:"+strconv.FormatUint(n, 10), "PORT")
			d.port = true
		}
	}
	return orNil(errs)
}

// concerns reports whether an entry of the environment may set something.
func concerns(entry string) bool {
	return strings.HasPrefix(entry, envPrefix+envSep) || strings.HasPrefix(entry, "PORT=")
}

// collect names all that can be set in values of type t at p; n is what the document has there, or nil.
func collect(to map[string]*setting, known schemas, name string, p *path, t reflect.Type, n *strictjson.Node) {
	switch {
	case isScalar(t):
		s := &setting{key: p, typ: t}
		if old := to[name]; old != nil && old.key.String() != p.String() {
			s.twice = true
		}
		to[name] = s
	case t.Kind() == reflect.Pointer:
		collect(to, known, name, p, t.Elem(), n)
	case t.Kind() == reflect.Slice:
		to[name] = &setting{key: p, typ: t, list: true}
	case t.Kind() == reflect.Map:
		if n == nil {
			return
		}
		for i := range n.Members {
			m := &n.Members[i]
			collect(to, known, name+envSep+envName(m.Name), p.key(m.Name), t.Elem(), &m.Value)
		}
	case t.Kind() == reflect.Struct:
		o := known.of(t)
		if o.shorthand != nil {
			to[name] = &setting{key: p, typ: o.shorthand.typ, shorthand: o.shorthand.name}
		}
		for i := range o.fields {
			f := &o.fields[i]
			var value *strictjson.Node
			if n != nil {
				value = n.Get(f.name)
			}
			collect(to, known, name+envSep+envName(f.name), p.key(f.name), f.typ, value)
		}
		for _, alt := range o.variants {
			collect(to, known, name, p, alt.pointer, n)
		}
	}
}

func envName(key string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
}

func underList(settings map[string]*setting, name string) bool {
	for i := strings.LastIndex(name, envSep); i > 0; i = strings.LastIndex(name, envSep) {
		name = name[:i]
		if s := settings[name]; s != nil {
			return s.list
		}
	}
	return false
}

func settable(settings map[string]*setting) []string {
	var out []string
	for name, s := range settings {
		if !s.list {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// set writes a value into the tree, making the objects on the way. Where the document has something else on the way it
// is left as it is: Decode reports that.
func (d *Document) set(s *setting, value, variable string) {
	known := schemas{}
	n, t := d.root, reflect.TypeFor[Config]()
	steps := s.key.steps()
	for _, step := range steps[:len(steps)-1] {
		child := member(n, step.name)
		t = fieldType(known, t, step.name)
		if child.Line == 0 && child.Kind == strictjson.Null {
			child.Kind = strictjson.Object
		}
		// An address that stands for its object makes room for what is beside it.
		if o := structOf(known, t); o != nil && o.shorthand != nil && child.Kind == strictjson.String {
			old := *child
			*child = strictjson.Node{Kind: strictjson.Object, Line: old.Line, Col: old.Col}
			*member(child, o.shorthand.name) = old
		}
		if child.Kind != strictjson.Object {
			return
		}
		n = child
	}
	at, target := s.key, member(n, s.key.name)
	if target.Kind == strictjson.Object && s.shorthand != "" {
		at, target = at.key(s.shorthand), member(target, s.shorthand)
	}
	*target = *textNode(s.typ, value)
	d.origins[at.String()] = variable
}

// member returns the value of a member, made as Null without a place when missing.
func member(n *strictjson.Node, name string) *strictjson.Node {
	if v := n.Get(name); v != nil {
		return v
	}
	n.Members = append(n.Members, strictjson.Member{Name: name})
	return &n.Members[len(n.Members)-1].Value
}

func structOf(known schemas, t reflect.Type) *object {
	if t.Kind() != reflect.Struct || isScalar(t) {
		return nil
	}
	return known.of(t)
}

// fieldType is the type of what stands under a name in t.
func fieldType(known schemas, t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	o := known.of(t)
	if f := o.field(name); f != nil {
		return pointee(f.typ)
	}
	for _, alt := range o.variants {
		if f := known.of(alt.pointer.Elem()).field(name); f != nil {
			return pointee(f.typ)
		}
	}
	return t
}

func pointee(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}
