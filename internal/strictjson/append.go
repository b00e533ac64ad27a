package strictjson

import "github.com/keyhole-edge/keyhole/internal/jsontext"

// Append appends n as JSON without space between tokens: numbers as they were written, members in their order.
func Append(b []byte, n *Node) []byte {
	switch n.Kind {
	case Bool:
		if n.Bool {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case Number:
		return append(b, n.Text...)
	case String:
		return jsontext.AppendString(b, n.Text)
	case Array:
		b = append(b, '[')
		for i := range n.Elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, &n.Elems[i])
		}
		return append(b, ']')
	case Object:
		b = append(b, '{')
		for i := range n.Members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jsontext.AppendString(b, n.Members[i].Name), ':')
			b = Append(b, &n.Members[i].Value)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}
