package trust

import (
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// text is a text of map with places for claims.
type text struct{ parts []part }

// part is literal, or the value of a requirement.
type part struct {
	literal string
	claim   string
	index   int    // of the requirement; -1 for a literal
	until   string // what a value must not hold, since the pattern goes on with anything behind it; "" is nothing
}

// parseText reads {CLAIM} places. Whether the rule requires those claims is for the caller.
func parseText(s string) (text, string) {
	var t text
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			t.parts = append(t.parts, part{literal: s[:i], index: -1})
			s = s[i:]
			continue
		}
		end := strings.IndexAny(s[1:], "{}") + 1
		if s[0] == '}' || end < 2 || s[end] == '{' {
			return text{}, "want {CLAIM} with the name of a claim between the braces"
		}
		t.parts = append(t.parts, part{claim: s[1:end]})
		s = s[end+1:]
	}
	return t, ""
}

// fixed reports whether no claim has a place in t.
func (t *text) fixed() bool {
	for i := range t.parts {
		if t.parts[i].index >= 0 {
			return false
		}
	}
	return true
}

// uses reports whether the claim has a place in t.
func (t *text) uses(name string) bool {
	for i := range t.parts {
		if t.parts[i].claim == name {
			return true
		}
	}
	return false
}

// fill puts the values in their places.
func (t *text) fill(values []string) string {
	if len(t.parts) == 1 && t.parts[0].index < 0 {
		return t.parts[0].literal
	}
	var b strings.Builder
	for i := range t.parts {
		if p := &t.parts[i]; p.index < 0 {
			b.WriteString(p.literal)
		} else {
			b.WriteString(values[p.index])
		}
	}
	return b.String()
}

// misfit is the first part whose value may not stand there, nil for none: a value is some bytes of one segment, nothing
// that could be a pattern, another segment or another word, and cannot be taken for the beginning of another.
func (t *text) misfit(values []string) *part {
	for i := range t.parts {
		if p := &t.parts[i]; p.index >= 0 && (!isSegment(values[p.index]) || !p.ends(values[p.index])) {
			return p
		}
	}
	return nil
}

// isSegment reports whether s is a path of one segment.
func isSegment(s string) bool {
	p, err := secret.ParsePath(s)
	return err == nil && p.Segments() == 1
}

func notSegment(name, value string) string {
	return fmt.Sprintf("the value %s of claim %s cannot stand in a path: a segment holds 1-128 of A-Z a-z 0-9 . _ - only", excerpt(value), name)
}
