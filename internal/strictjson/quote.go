package strictjson

const hexDigits = "0123456789abcdef"

// AppendString quotes s (valid UTF-8) as JSON. U+2028 and U+2029 are escaped so that the text is JavaScript too. It
// takes at most QuotedLen(s) bytes: a caller who has that room leaves no copy of s behind by growing.
func AppendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0xE2 {
			continue
		}
		if c == 0xE2 {
			if i+2 < len(s) && s[i+1] == 0x80 && s[i+2]&^1 == 0xA8 {
				b = append(b, s[start:i]...)
				b = append(b, `\u202`...)
				b = append(b, hexDigits[s[i+2]&0xF])
				i += 2
				start = i + 1
			}
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// QuotedLen is the most that AppendString makes of s.
func QuotedLen[T string | []byte](s T) int { return 6*len(s) + 2 }

// AppendCompact writes n as JSON without space between tokens: numbers as they were written, names in their order.
func AppendCompact(b []byte, n *Node) []byte {
	switch n.Kind {
	case Null:
		return append(b, "null"...)
	case Bool:
		if n.Bool {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case Number:
		return append(b, n.Text...)
	case String:
		return AppendString(b, n.Text)
	case Array:
		b = append(b, '[')
		for i := range n.Elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendCompact(b, &n.Elems[i])
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i := range n.Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendString(b, n.Members[i].Name), ':')
		b = AppendCompact(b, &n.Members[i].Value)
	}
	return append(b, '}')
}

// CompactLen is the most that AppendCompact makes of n.
func CompactLen(n *Node) int {
	size := 5 + QuotedLen(n.Text)
	for i := range n.Elems {
		size += 1 + CompactLen(&n.Elems[i])
	}
	for i := range n.Members {
		size += 2 + QuotedLen(n.Members[i].Name) + CompactLen(&n.Members[i].Value)
	}
	return size
}
