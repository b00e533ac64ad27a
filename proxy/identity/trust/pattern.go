package trust

import (
	"fmt"
	"strings"
)

// anyValue is the pattern that takes every value of one segment.
const anyValue = "*"

// requirement is a claim that must be there, with the values that it may have.
type requirement struct {
	claim  claim
	values []string
}

// literal reports whether every value is written out: the claim is pinned.
func (r *requirement) literal() bool {
	for _, v := range r.values {
		if strings.Contains(v, "*") {
			return false
		}
	}
	return true
}

func (r *requirement) take(value string) bool {
	for _, v := range r.values {
		if matches(v, value) {
			return true
		}
	}
	return false
}

// matches compares segment by segment, with ":" between. A "*" in place of a segment takes any that is not empty, and
// nothing takes more segments than it has: repo:acme/web:* does not take repo:acme/web:environment:production.
func matches(pattern, value string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ":")
		v, vrest, vmore := strings.Cut(value, ":")
		if pmore != vmore || p != v && p != "*" || p == "*" && v == "" {
			return false
		}
		if !pmore {
			return true
		}
		pattern, value = prest, vrest
	}
}

// checkPattern says what is wrong with a value of require, "" if nothing.
func checkPattern(p string) string {
	switch {
	case p == "" || len(p) > maxClaimBytes || !plain(p):
		return fmt.Sprintf("want a value of 1 to %d bytes without control characters", maxClaimBytes)
	case !strings.Contains(p, "*") || p == anyValue:
		return ""
	}
	segments := strings.Split(p, ":")
	fixed := 0
	for _, s := range segments {
		switch {
		case s == "*" || s == "":
		case strings.Contains(s, "*"):
			return fmt.Sprintf(`"*" stands for one whole segment between colons, and %s is only part of one: it would also take names that somebody else can register; write the segment out`, excerpt(s))
		default:
			fixed++
		}
	}
	if fixed < 2 || segments[0] == "*" {
		return fmt.Sprintf(`%s is too wide: next to "*" it fixes only %d of %d segments, so identities of others match as well; write out the segments that name yours`, excerpt(p), fixed, len(segments))
	}
	return ""
}
