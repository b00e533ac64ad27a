package trust

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Set is a list of valid rules. It is immutable, and safe for concurrent use.
type Set struct {
	rules   []Rule
	issuers []Issuer
}

// New checks the rules. Its error holds an *Error for each thing wrong.
func New(rules []Rule) (*Set, error) {
	s := &Set{rules: slices.Clone(rules)}
	for i := range s.rules {
		r := &s.rules[i]
		if r.MaxTTL == 0 {
			r.MaxTTL = DefaultMaxTTL
		}
		j := slices.IndexFunc(s.issuers, func(k Issuer) bool { return k.Issuer == r.Issuer })
		if j < 0 {
			j = len(s.issuers)
			s.issuers = append(s.issuers, Issuer{Issuer: r.Issuer})
		}
		k := &s.issuers[j]
		k.JWKSURI, k.JWKS, k.CA = cmp.Or(k.JWKSURI, r.JWKSURI), cmp.Or(k.JWKS, r.JWKS), cmp.Or(k.CA, r.CA)
		k.AllowPrivate, k.Assertion = k.AllowPrivate || r.AllowPrivate, k.Assertion || r.Assertion
		k.Algorithms = slices.Compact(slices.Sorted(slices.Values(append(k.Algorithms, r.Algorithms...))))
	}
	return s, nil
}

// Rules is every rule, in file order. It is shared: never change it.
func (s *Set) Rules() []Rule { return s.rules }

// Issuers is every issuer that a rule names, in the order of the first rule of each. It is shared: never change it.
func (s *Set) Issuers() []Issuer { return s.issuers }

// Admit gives what the first rule that takes the token makes of it. Errors wrap ErrRefused.
func (s *Set) Admit(t Token) (*Grant, error) {
	for i := range s.rules {
		if g, f := s.rules[i].take(t); f == nil {
			return g, nil
		}
	}
	return nil, ErrRefused
}

// Explain says of every rule, in file order, whether it takes the token, and if not, why. The first that does is the
// one that Admit uses.
func (s *Set) Explain(t Token) []Finding {
	out := make([]Finding, len(s.rules))
	for i := range s.rules {
		out[i] = Finding{Rule: &s.rules[i], Taken: true}
		if _, f := s.rules[i].take(t); f != nil {
			out[i].Taken, out[i].Check, out[i].Reason = false, f.Check, f.Reason
		}
	}
	return out
}

func (r *Rule) take(t Token) (*Grant, *Finding) {
	fail := func(check, reason string) (*Grant, *Finding) {
		return nil, &Finding{Rule: r, Check: check, Reason: reason}
	}
	switch {
	case t.Issuer != r.Issuer:
		return fail("iss", "the token is of another issuer")
	case !slices.Contains(r.Algorithms, t.Algorithm):
		return fail("alg", "the rule does not allow the token's algorithm")
	case t.Life > r.MaxTTL:
		return fail("life", "the token lives longer than the rule allows")
	}
	aud, _ := t.Claims.Get("aud").Str()
	if !slices.Contains(r.Audiences, aud) {
		return fail("aud", "the token is for another audience")
	}
	for claim, values := range r.Require {
		v, ok := t.Claims.Get(claim).Str()
		if !ok || !slices.Contains(values, v) {
			return fail("require."+claim, "the claim has another value")
		}
	}
	for _, claim := range r.Forbid {
		if t.Claims.Get(claim) != nil {
			return fail("forbid."+claim, "the claim is there")
		}
	}
	g := &Grant{Rule: r}
	g.Subject, _ = t.Claims.Get("sub").Str()
	var err error
	if r.Map.Base != "" {
		if g.Base, err = secret.ParsePath(r.Map.Base); err != nil {
			return fail("map", "base is no path")
		}
	}
	for _, text := range r.Map.Scopes {
		sc, err := policy.ParseScope(text)
		if err != nil {
			return fail("map", "a scope is malformed")
		}
		g.Scopes = append(g.Scopes, sc)
	}
	for name, value := range r.Map.Labels {
		g.Claims = append(g.Claims, policy.Pair{Name: "labels." + name, Value: value})
	}
	slices.SortFunc(g.Claims, func(a, b policy.Pair) int { return cmp.Compare(a.Name, b.Name) })
	return g, nil
}

// Error is one line: the rule, the key, and what is wrong.
func (e *Error) Error() string { return fmt.Sprintf("trust rule %q: %v: %s", e.Rule, e.Key, e.Msg) }
