package wasm

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxNameBytes = 64

// checkPolicyName accepts 1-64 of a-z 0-9 . _ - and not the chain's own name.
func checkPolicyName(s string) error {
	if s == "" || len(s) > maxNameBytes || !all(s, lowerByte) {
		return fmt.Errorf("name %.80q is not 1-%d of a-z 0-9 . _ -", s, maxNameBytes)
	}
	if s == chainName {
		return fmt.Errorf("name %q is reserved", s)
	}
	return nil
}

// checkRuleName accepts 1-64 of A-Z a-z 0-9 . _ - and not the rule of faults.
func checkRuleName(s string) error {
	if s == "" || len(s) > maxNameBytes || !all(s, ruleByte) {
		return fmt.Errorf("rule %.80q is not 1-%d of A-Z a-z 0-9 . _ -", s, maxNameBytes)
	}
	if s == errorRule {
		return fmt.Errorf("rule %q is reserved", s)
	}
	return nil
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

func ruleByte(c byte) bool { return lowerByte(c) || 'A' <= c && c <= 'Z' }

func printableASCII(c byte) bool { return ' ' <= c && c <= '~' }

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// sanitise cuts text that a module wrote to limit bytes of printable UTF-8; everything else becomes a question mark, so
// that no log or terminal obeys it.
func sanitise(text []byte, limit int) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
