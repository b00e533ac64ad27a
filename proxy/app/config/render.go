package config

import (
	"cmp"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Render writes the document as canonical JSON: the same keys and values and no defaults, names in bytewise order,
// numbers as they were written, no spaces. Reading the result gives an equal Config.
func (d *Document) Render() []byte { return Canonical(d.root) }

// Canonical writes a tree as canonical JSON.
func Canonical(n *strictjson.Node) []byte { return appendNode(nil, n) }

func appendNode(b []byte, n *strictjson.Node) []byte {
	switch n.Kind {
	case strictjson.Bool:
		if n.Bool {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case strictjson.Number:
		return append(b, n.Text...)
	case strictjson.String:
		return jsontext.AppendString(b, n.Text)
	case strictjson.Array:
		b = append(b, '[')
		for i := range n.Elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendNode(b, &n.Elems[i])
		}
		return append(b, ']')
	case strictjson.Object:
		sorted := make([]*strictjson.Member, len(n.Members))
		for i := range n.Members {
			sorted[i] = &n.Members[i]
		}
		slices.SortFunc(sorted, func(x, y *strictjson.Member) int { return cmp.Compare(x.Name, y.Name) })
		b = append(b, '{')
		for i, m := range sorted {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jsontext.AppendString(b, m.Name), ':')
			b = appendNode(b, &m.Value)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}
