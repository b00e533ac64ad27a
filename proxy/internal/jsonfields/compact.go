package jsonfields

import "github.com/keyhole-edge/keyhole/internal/strictjson"

// QuotedLen is the most that jsontext.AppendString makes of s. Who has that room leaves no copy of s behind by growing.
func QuotedLen[T string | []byte](s T) int { return 6*len(s) + 2 }

// compactLen is the most that strictjson.Append makes of n.
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
