package trust

import (
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Explain says of every rule, in file order, whether it takes the token, and if not, the first check that failed and why.
// The first that takes it is the one that Admit uses. Reasons quote the beginning of the value that did not fit, and
// nothing else of the token.
func (s *Set) Explain(t Token) []Finding {
	out := make([]Finding, len(s.rules))
	for i := range s.rules {
		out[i] = Finding{Rule: s.rules[i].Rule, Taken: true}
		if _, refused := s.rules[i].take(&t); refused != nil {
			out[i] = Finding{Rule: s.rules[i].Rule, Check: refused.check, Reason: refused.reason()}
		}
	}
	return out
}

// miss says why a claim is not what a rule requires.
func (r *requirement) miss(n *strictjson.Node) string {
	name := r.claim.text
	want := "the rule wants " + excerpts(r.values)
	if n == nil {
		return fmt.Sprintf("the token has no claim %s; %s", name, want)
	}
	value, ok := textOf(n)
	if !ok {
		return fmt.Sprintf("claim %s is %s, and only one text, whole number or boolean can be compared; %s", name, article(n), want)
	}
	return fmt.Sprintf("claim %s is %s; %s", name, excerpt(value), want)
}

func article(n *strictjson.Node) string {
	switch n.Kind {
	case strictjson.String:
		return "an empty text, a very long one, or one with control characters"
	case strictjson.Number:
		return "not a whole number"
	case strictjson.Array:
		return "a list"
	case strictjson.Object:
		return "an object"
	}
	return n.Kind.String()
}

// excerpts quotes a few of the values.
func excerpts(values []string) string {
	const most = 5
	var out []string
	for i, v := range values {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(values)-most))
			break
		}
		out = append(out, excerpt(v))
	}
	return strings.Join(out, " or ")
}

// say keeps the words for later.
func say(format string, args ...any) func() string {
	return func() string { return fmt.Sprintf(format, args...) }
}
