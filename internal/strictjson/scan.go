package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// str reads a string (RFC 8259 section 7) and returns its decoded bytes in memory of their own, allocated once at its
// final capacity so that no partial copy of a secret is left behind by growing.
func (p *parser) str() ([]byte, error) {
	end, escaped, err := p.stringEnd()
	if err != nil {
		return nil, err
	}
	raw := p.data[p.pos+1 : end]
	out := make([]byte, 0, len(raw))
	if !escaped {
		p.pos = end + 1
		return append(out, raw...), nil
	}
	for p.pos++; p.pos < end; {
		if c := p.data[p.pos]; c != '\\' {
			out = append(out, c)
			p.pos++
			continue
		}
		r, n := unescape(p.data[p.pos:end])
		if n == 0 {
			clear(out)
			return nil, p.syntax("invalid escape")
		}
		if utf16.IsSurrogate(r) {
			low, m := unescape(p.data[p.pos+n : end])
			if r = utf16.DecodeRune(r, low); m == 0 || r == utf8.RuneError {
				clear(out)
				return nil, p.syntax("half of a surrogate pair")
			}
			n += m
		}
		out = utf8.AppendRune(out, r)
		p.pos += n
	}
	p.pos = end + 1
	return out, nil
}

// stringEnd finds the closing quote of the string that starts at the current position, and checks its raw bytes.
func (p *parser) stringEnd() (end int, escaped bool, err error) {
	for i := p.pos + 1; i < len(p.data); {
		switch c := p.data[i]; {
		case c == '"':
			return i, escaped, nil
		case c == '\\':
			escaped = true
			if i++; i < len(p.data) && (p.data[i] == '"' || p.data[i] == '\\') {
				i++
			}
		case c < ' ':
			p.pos = i
			return 0, false, p.syntax("control characters in strings must be escaped")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(p.data[i:])
			if r == utf8.RuneError && n == 1 {
				p.pos = i
				return 0, false, p.syntax("not UTF-8")
			}
			i += n
		}
	}
	p.pos = len(p.data)
	return 0, false, p.syntax("unexpected end in a string")
}

// unescape decodes the one escape that b starts with; its length is 0 where there is none. A surrogate comes as it is.
func unescape(b []byte) (rune, int) {
	if len(b) < 2 || b[0] != '\\' {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		if len(b) < 6 {
			return 0, 0
		}
		var r rune
		for _, c := range b[2:6] {
			d, ok := hexDigit(c)
			if !ok {
				return 0, 0
			}
			r = r<<4 | d
		}
		return r, 6
	}
	return 0, 0
}

func hexDigit(c byte) (rune, bool) {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0'), true
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}

// number reads a number (RFC 8259 section 6) and returns a copy of it as written.
func (p *parser) number() ([]byte, error) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	if p.peek() == '0' {
		p.pos++ // no digit may follow: the caller finds it where a token must end
	} else if err := p.digits(); err != nil {
		return nil, err
	}
	if p.peek() == '.' {
		p.pos++
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	return append([]byte(nil), p.data[start:p.pos]...), nil
}

func (p *parser) digits() error {
	start := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	if p.pos == start {
		return p.unexpected("a digit")
	}
	return nil
}
