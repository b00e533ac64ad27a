package audit

import (
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string of at most limit bytes of UTF-8, cut before the character that would pass it.
// Invalid bytes become U+FFFD. Besides what RFC 8259 section 7 demands it escapes whatever could break a line or
// mislead the reader of a terminal: DEL, the C1 controls, line and paragraph separators and the bidirectional controls.
func appendQuoted(dst []byte, s string, limit int) []byte {
	plain := plainLen(s[:min(len(s), limit)])
	dst = append(dst, '"')
	dst = append(dst, s[:plain]...)
	if plain < len(s) && plain < limit {
		dst = appendEscaped(dst, s[plain:], limit-plain)
	}
	return append(dst, '"')
}

// plainByte reports whether c stands for itself.
func plainByte(c byte) bool { return ' ' <= c && c < 0x7f && c != '"' && c != '\\' }

// plainLen is how many bytes at the beginning of s stand for themselves. It is most of what encoding a record takes, so
// it looks at eight at a time.
func plainLen(s string) int {
	rest := s
	for len(rest) >= 8 && plainWord(word(rest)) {
		rest = rest[8:]
	}
	for rest != "" && plainByte(rest[0]) {
		rest = rest[1:]
	}
	return len(s) - len(rest)
}

// word is the first eight bytes of s, which the compiler loads at once.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// plainWord is plainByte of eight bytes. Where all are plain, none of the sums and differences carries into the next
// byte; the first that is not plain sets the top bit of its own, in one of them.
func plainWord(w uint64) bool {
	const each, top = 0x0101010101010101, 0x8080808080808080
	return ((w-' '*each)|(w+each)|((w^'"'*each)-each)|((w^'\\'*each)-each))&top == 0
}

func appendEscaped(dst []byte, s string, limit int) []byte {
	for i, n := 0, 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if n += utf8.RuneLen(r); n > limit {
			break
		}
		if r < utf8.RuneSelf && !plainByte(byte(r)) || misleading(r) {
			dst = appendEscape(dst, r)
		} else {
			dst = utf8.AppendRune(dst, r) // U+FFFD for an invalid byte
		}
		i += size
	}
	return dst
}

func misleading(r rune) bool {
	return 0x80 <= r && r < 0xa0 || // C1
		r == 0x061c || r == 0x200e || r == 0x200f || // direction marks
		0x2028 <= r && r <= 0x202e || // separators, bidirectional embeddings and overrides
		0x2066 <= r && r <= 0x2069 || // bidirectional isolates
		r == 0xfeff
}

// appendEscape escapes r, which is below U+10000, in the one way that this log uses.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
