package strictjson

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Limits bound a document. Zero or less means the default; Depth counts as MaxDepth where it is larger.
type Limits struct {
	Bytes int // of the whole text; default 1 MiB
	Depth int // nested arrays and objects; default 64. A document of one scalar has depth 0
	Nodes int // values of any kind, containers included; default 100,000
	// ExactNames lets an object have names that differ in case only, for documents whose names are their users' own.
	ExactNames bool
}

// MaxDepth is the greatest depth that Limits can allow: parsing recurses, and the stack must stay small.
const MaxDepth = 1000

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 64
	}
	if l.Nodes <= 0 {
		l.Nodes = 100_000
	}
	l.Depth = min(l.Depth, MaxDepth)
	return l
}

// Parse reads the one JSON text that data holds. The tree shares no memory with data, so that the caller may wipe it.
// Every error is a *SyntaxError. What was read of a document that fails is wiped.
func Parse(data []byte, l Limits) (*Node, error) {
	root := new(Node)
	if err := parseOrWipe(root, data, l); err != nil {
		return nil, err
	}
	return root, nil
}

func parseOrWipe(root *Node, data []byte, l Limits) error {
	err := parseInto(root, data, l.withDefaults())
	if err != nil {
		root.Wipe()
	}
	return err
}

func parseInto(root *Node, data []byte, l Limits) error {
	if len(data) > l.Bytes {
		return &SyntaxError{Msg: fmt.Sprintf("%d bytes, at most %d are allowed", len(data), l.Bytes), err: ErrTooLarge}
	}
	p := &parser{data: data, limits: l, line: 1}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return p.syntax("a byte order mark is not allowed (RFC 8259 section 8.1)")
	}
	return p.document(root)
}

type parser struct {
	data      []byte
	pos       int
	line      int
	lineStart int // offset of the first byte of the line; newlines occur between tokens only
	nodes     int
	limits    Limits
}

func (p *parser) document(root *Node) error {
	p.space()
	if err := p.value(root, 0); err != nil {
		return err
	}
	if p.space(); p.pos < len(p.data) {
		return p.unexpected("nothing after the document")
	}
	return nil
}

func (p *parser) col() int { return p.pos - p.lineStart + 1 }

func (p *parser) syntax(format string, args ...any) error {
	return &SyntaxError{p.line, p.col(), fmt.Sprintf(format, args...), ErrSyntax}
}

func (p *parser) tooLarge(format string, args ...any) error {
	return &SyntaxError{p.line, p.col(), fmt.Sprintf(format, args...), ErrTooLarge}
}

// unexpected reports the byte at the current position, or the end.
func (p *parser) unexpected(want string) error {
	switch {
	case p.pos >= len(p.data):
		return p.syntax("unexpected end, want %s", want)
	case p.data[p.pos] >= utf8.RuneSelf:
		return p.syntax("unexpected byte 0x%02x, want %s", p.data[p.pos], want)
	}
	return p.syntax("unexpected %q, want %s", p.data[p.pos], want)
}

// peek returns the next byte, or 0, which no token starts with, at the end.
func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *parser) space() {
	for ; p.pos < len(p.data); p.pos++ {
		switch p.data[p.pos] {
		case ' ', '\t', '\r':
		case '\n':
			p.line, p.lineStart = p.line+1, p.pos+1
		default:
			return
		}
	}
}

func (p *parser) value(n *Node, depth int) error {
	if p.nodes++; p.nodes > p.limits.Nodes {
		return p.tooLarge("more than %d values", p.limits.Nodes)
	}
	n.Line, n.Col = p.line, p.col()
	var err error
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth >= p.limits.Depth {
			return p.tooLarge("nested deeper than %d", p.limits.Depth)
		}
		if c == '{' {
			return p.object(n, depth+1)
		}
		return p.array(n, depth+1)
	case c == '"':
		n.Kind = String
		n.Text, err = p.str()
		return err
	case c == '-' || '0' <= c && c <= '9':
		n.Kind = Number
		n.Text, err = p.number()
		return err
	case c == 't':
		n.Kind, n.Bool = Bool, true
		return p.word("true")
	case c == 'f':
		n.Kind = Bool
		return p.word("false")
	case c == 'n':
		n.Kind = Null
		return p.word("null")
	}
	return p.unexpected("a value")
}

func (p *parser) word(w string) error {
	if !bytes.HasPrefix(p.data[p.pos:], []byte(w)) {
		return p.syntax("want the word %s", w)
	}
	p.pos += len(w)
	return nil
}

func (p *parser) array(n *Node, depth int) error {
	n.Kind = Array
	p.pos++
	if p.space(); p.peek() == ']' {
		p.pos++
		return nil
	}
	for {
		n.Elems = append(n.Elems, Node{})
		if err := p.value(&n.Elems[len(n.Elems)-1], depth); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case ']':
			p.pos++
			return nil
		case ',':
			p.pos++
			p.space()
		default:
			return p.unexpected("',' or ']'")
		}
	}
}

func (p *parser) object(n *Node, depth int) error {
	n.Kind = Object
	p.pos++
	if p.space(); p.peek() == '}' {
		p.pos++
		return nil
	}
	var seen names
	for {
		if p.peek() != '"' {
			return p.unexpected("a name in double quotes")
		}
		m := Member{Line: p.line, Col: p.col()}
		name, err := p.str()
		if err != nil {
			return err
		}
		m.Name = string(name)
		if i, dup := seen.add(n.Members, m.Name, p.limits.ExactNames); dup {
			return p.repeated(&m, &n.Members[i])
		}
		if p.space(); p.peek() != ':' {
			return p.unexpected("':'")
		}
		p.pos++
		p.space()
		n.Members = append(n.Members, m)
		if err := p.value(&n.Members[len(n.Members)-1].Value, depth); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case '}':
			p.pos++
			return nil
		case ',':
			p.pos++
			p.space()
		default:
			return p.unexpected("',' or '}'")
		}
	}
}

func (p *parser) repeated(m, first *Member) error {
	msg := "this name equals the one at line %d, column %d"
	if m.Name != first.Name {
		msg = "this name differs from the one at line %d, column %d in letter case only"
	}
	return &SyntaxError{m.Line, m.Col, fmt.Sprintf(msg, first.Line, first.Col), ErrSyntax}
}
