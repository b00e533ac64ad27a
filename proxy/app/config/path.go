package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// path is a place in a document. nil is the whole of it.
type path struct {
	parent *path
	name   string // of a member
	index  int    // of an element, -1 for a member
}

func (p *path) key(name string) *path { return &path{p, name, -1} }

func (p *path) at(i int) *path { return &path{p, "", i} }

// String writes p as people do: mounts[0].cache.soft_ttl. Names that would be ambiguous are quoted.
func (p *path) String() string {
	var b strings.Builder
	for _, s := range p.steps() {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case !isName(s.name) || strings.Contains(s.name, "."):
			b.WriteString("[" + quote(s.name) + "]")
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

func (p *path) steps() []*path {
	var steps []*path
	for ; p != nil; p = p.parent {
		steps = append(steps, p)
	}
	slices.Reverse(steps)
	return steps
}

// place is where a path leads in a tree, or how far.
type place struct {
	path              *path            // the path; its part down to a scalar where a scalar stands for an object
	node              *strictjson.Node // the deepest node on the way
	found             bool             // node is what the path names
	nameLine, nameCol int              // of the deepest name on the way
}

func locate(root *strictjson.Node, p *path) place {
	pl := place{path: p, node: root, nameLine: root.Line, nameCol: root.Col}
	for _, s := range p.steps() {
		switch n := pl.node; {
		case n.Kind == strictjson.Object && s.index < 0:
			i := slices.IndexFunc(n.Members, func(m strictjson.Member) bool { return m.Name == s.name })
			if i < 0 {
				return pl
			}
			m := &n.Members[i]
			pl.node, pl.nameLine, pl.nameCol = &m.Value, m.Line, m.Col
		case n.Kind == strictjson.Array && 0 <= s.index && s.index < len(n.Elems):
			pl.node = &n.Elems[s.index]
			pl.nameLine, pl.nameCol = pl.node.Line, pl.node.Col
		default:
			pl.path = s.parent
			return pl
		}
	}
	pl.found = true
	return pl
}

// quote quotes a text of the document for a message, at most the beginning of it.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && s[cut]&0xC0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}

// isName reports whether s is a name as operators choose them.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
