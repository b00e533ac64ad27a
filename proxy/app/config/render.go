package config

import (
	"cmp"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Render writes the document as canonical JSON: the same keys and values and no defaults, names in bytewise order,
// numbers as they were written, no spaces. Reading the result gives an equal Config.
func (d *Document) Render() []byte { return Canonical(d.root) }

// Canonical writes a tree as canonical JSON.
func Canonical(n *strictjson.Node) []byte {
	inOrder := sorted(*n)
	return strictjson.Append(nil, &inOrder)
}

// sorted is a copy of n whose members stand in bytewise order.
func sorted(n strictjson.Node) strictjson.Node {
	n.Elems, n.Members = slices.Clone(n.Elems), slices.Clone(n.Members)
	for i := range n.Elems {
		n.Elems[i] = sorted(n.Elems[i])
	}
	for i := range n.Members {
		n.Members[i].Value = sorted(n.Members[i].Value)
	}
	slices.SortFunc(n.Members, func(x, y strictjson.Member) int { return cmp.Compare(x.Name, y.Name) })
	return n
}
