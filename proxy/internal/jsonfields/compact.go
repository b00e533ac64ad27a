package jsonfields

import (
	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// QuotedLen is the most that jsontext.AppendString makes of s. Who has that room leaves no copy of s behind by growing.
func QuotedLen[T string | []byte](s T) int { return 6*len(s) + 2 }

// appendCompact writes n as JSON without space between tokens: numbers as they were written, names in their order.
func appendCompact(b []byte, n *strictjson.Node) []byte {
	switch n.Kind {
	case strictjson.Null:
		return append(b, "null"...)
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
			b = appendCompact(b, &n.Elems[i])
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i := range n.Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsontext.AppendString(b, n.Members[i].Name), ':')
		b = appendCompact(b, &n.Members[i].Value)
	}
	return append(b, '}')
}

// compactLen is the most that appendCompact makes of n.
func compactLen(n *strictjson.Node) int {
	size := 5 + QuotedLen(n.Text)
	for i := range n.Elems {
		size += 1 + compactLen(&n.Elems[i])
	}
	for i := range n.Members {
		size += 2 + QuotedLen(n.Members[i].Name) + compactLen(&n.Members[i].Value)
	}
	return size
}
