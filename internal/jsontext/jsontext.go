// Package jsontext writes texts into JSON that is put together by hand.
//
// Law: there is one way to write a text, that of canonical JSON (RFC 8785 section 3.2.2.2).
package jsontext

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string of at most six bytes for each of s, and two. Bytes from 0x80 on stay as they
// are: where s is UTF-8, so is the string.
func AppendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	start, i := 0, 0
	for {
		for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[start:i]...)
		if i == len(s) {
			return append(b, '"')
		}
		b = appendEscape(b, s[i])
		i++
		start = i
	}
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
}
