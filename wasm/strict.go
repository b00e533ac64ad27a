package wasm

import (
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// node is one value of such a document.
type node = *strictjson.Node

// parseStrict reads a document that a module brings: its manifest or its details.
func parseStrict(data []byte) (node, error) {
	return strictjson.Parse(data, strictjson.Limits{Depth: 8, Nodes: 1024})
}

// fields hands each member of an object to the function for its name; unknown names are errors.
func fields(n node, known map[string]func(node) error) error {
	if n.Kind != strictjson.Object {
		return errors.New("not an object")
	}
	for i := range n.Members {
		m := &n.Members[i]
		f := known[m.Name]
		if f == nil {
			return fmt.Errorf("unknown member %.64q", m.Name)
		}
		if err := f(&m.Value); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

func asString(n node) (string, error) {
	s, ok := n.Str()
	if !ok {
		return "", errors.New("not a string")
	}
	return s, nil
}

// asInt reads an integer without fraction or exponent within lo and hi.
func asInt(n node, lo, hi int64) (int64, error) {
	i, ok := n.Int64()
	if !ok {
		return 0, errors.New("not an integer")
	}
	if i < lo || i > hi {
		return 0, fmt.Errorf("%d is not within %d and %d", i, lo, hi)
	}
	return i, nil
}

func asArray(n node) ([]strictjson.Node, error) {
	if n.Kind != strictjson.Array {
		return nil, errors.New("not an array")
	}
	return n.Elems, nil
}
