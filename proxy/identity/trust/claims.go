package trust

import (
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// claims is what policies may see of a token: its own strings, whatever the rule requires, and the rule's labels. What a
// token calls labels.… or writes like a pointer is left out: it would pass for what the rule says. So are the strings of an
// assertion: whoever asks has written them.
func (r *rule) claims(payload *strictjson.Node, values []string) []policy.Pair {
	out := make([]policy.Pair, 0, len(payload.Members)+len(r.require)+len(r.labels))
	for i := range payload.Members {
		m := &payload.Members[i]
		switch {
		case r.Assertion || m.Value.Kind != strictjson.String || hidden(m.Name):
		case slices.ContainsFunc(r.require, func(q requirement) bool { return q.claim.text == m.Name }):
		default:
			if v, ok := textOf(&m.Value); ok {
				out = append(out, policy.Pair{Name: m.Name, Value: v})
			}
		}
	}
	for i := range r.require {
		if name := r.require[i].claim.text; !hidden(name) || name[0] == '/' {
			out = append(out, policy.Pair{Name: name, Value: values[i]})
		}
	}
	for i := range r.labels {
		out = append(out, policy.Pair{Name: r.labels[i].name, Value: r.labels[i].value.fill(values)})
	}
	slices.SortFunc(out, func(a, b policy.Pair) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// hidden names the claims that a principal has fields for, and names that are ours.
func hidden(name string) bool {
	switch name {
	case "", "iss", "sub", "aud", "jti":
		return true
	}
	return name[0] == '/' || strings.HasPrefix(name, "labels.") || len(name) > maxClaimBytes || !plain(name)
}
