package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of every document that a module brings: its manifest and its details.
const (
	maxDocDepth = 8
	maxDocNodes = 1024
)

// node is one value of a strictly read document: nil, bool, string, json.Number, []node or object.
type node any

type member struct {
	name  string
	value node
}

type object []member

// parseStrict reads one JSON document: UTF-8 only, no two names of an object equal under case folding, bounded depth and
// node count, nothing after it.
func parseStrict(data []byte) (node, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	// The token reader alone is lenient about commas.
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	p := &strictParser{d: d}
	return p.value(0)
}

type strictParser struct {
	d     *json.Decoder
	nodes int
}

func (p *strictParser) value(depth int) (node, error) {
	if p.nodes++; p.nodes > maxDocNodes || depth > maxDocDepth {
		return nil, fmt.Errorf("more than %d values or %d levels", maxDocNodes, maxDocDepth)
	}
	t, err := p.d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		out := []node{}
		for p.d.More() {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err = p.d.Token()
		return out, err
	case json.Delim('{'):
		return p.object(depth)
	}
	return t, nil
}

func (p *strictParser) object(depth int) (node, error) {
	out := object{}
	for p.d.More() {
		t, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		for _, m := range out {
			if strings.EqualFold(m.name, name) {
				return nil, fmt.Errorf("member %.64q is repeated", name)
			}
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, member{name, v})
	}
	_, err := p.d.Token()
	return out, err
}

// fields hands each member of an object to the function for its name; unknown names are errors.
func fields(n node, known map[string]func(node) error) error {
	o, ok := n.(object)
	if !ok {
		return errors.New("not an object")
	}
	for _, m := range o {
		f := known[m.name]
		if f == nil {
			return fmt.Errorf("unknown member %.64q", m.name)
		}
		if err := f(m.value); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

func asString(n node) (string, error) {
	s, ok := n.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	return s, nil
}

// asInt reads an integer without fraction or exponent within lo and hi.
func asInt(n node, lo, hi int64) (int64, error) {
	num, ok := n.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	i, err := num.Int64()
	if err != nil || num == "-0" {
		return 0, errors.New("not an integer")
	}
	if i < lo || i > hi {
		return 0, fmt.Errorf("%d is not within %d and %d", i, lo, hi)
	}
	return i, nil
}

func asArray(n node) ([]node, error) {
	a, ok := n.([]node)
	if !ok {
		return nil, errors.New("not an array")
	}
	return a, nil
}
