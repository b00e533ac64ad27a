package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Admit gives what the first rule in file order that takes the token makes of it. Errors wrap ErrRefused. Only rules that
// want the immutable id of this very token are looked at, however many the issuer has.
func (s *Set) Admit(t Token) (*Grant, error) {
	x := s.byIssuer[t.Issuer]
	if x == nil {
		return nil, fmt.Errorf("%w: no rule is for its issuer", ErrRefused)
	}
	var first *Finding
	for at := -1; ; {
		if at = x.next(t.Claims, at); at < 0 {
			break
		}
		g, refused := s.rules[at].take(&t)
		if refused == nil {
			return g, nil
		}
		if first == nil {
			first = &Finding{Rule: s.rules[at].Rule, Check: refused.check}
		}
	}
	if first == nil {
		return nil, fmt.Errorf("%w: no rule of its issuer is for this identity", ErrRefused)
	}
	return nil, fmt.Errorf("%w: rule %s, check %s", ErrRefused, first.Rule.Name, first.Check)
}

// next is the first rule behind the place after that may take a payload, -1 for none.
func (x *index) next(claims *strictjson.Node, after int) int {
	best := -1
	for i := range x.claims {
		c := &x.claims[i]
		value, ok := textOf(c.claim.find(claims))
		if !ok {
			continue
		}
		places := c.rules[value]
		j, _ := slices.BinarySearch(places, after+1)
		if j < len(places) && (best < 0 || places[j] < best) {
			best = places[j]
		}
	}
	return best
}

// refusal is why a rule does not take a token: the check, and words for it, which are made only where somebody asks.
type refusal struct {
	check  string
	reason func() string
}

// take holds a token against the rule, in the order that Finding.Check has.
func (r *rule) take(t *Token) (*Grant, *refusal) {
	if refused := r.envelope(t); refused != nil {
		return nil, refused
	}
	subject, ok := t.Claims.Get("sub").Str()
	if !ok || subject == "" || len(subject) > maxClaimBytes || !plain(subject) {
		return nil, &refusal{"sub", say("sub is not a text of 1 to %d bytes", maxClaimBytes)}
	}
	if id, ok := t.Claims.Get("jti").Str(); r.Assertion && (!ok || id == "" || len(id) > maxClaimBytes || !plain(id)) {
		return nil, &refusal{"jti", say("an assertion is good once, so it needs a jti: a text of 1 to %d bytes that no other has", maxClaimBytes)}
	}
	values := make([]string, len(r.require))
	for i := range r.require {
		q := &r.require[i]
		n := q.claim.find(t.Claims)
		if values[i], ok = textOf(n); !ok || !q.take(values[i]) {
			return nil, &refusal{"require " + q.claim.text, func() string { return q.miss(n) }}
		}
	}
	for i := range r.forbid {
		if c := &r.forbid[i]; c.find(t.Claims) != nil {
			return nil, &refusal{"forbid " + c.text, say("the token has the claim %s, which the rule forbids", c.text)}
		}
	}
	g := &Grant{Rule: r.Rule, Subject: subject}
	if refused := r.fill(g, values); refused != nil {
		return nil, refused
	}
	g.Claims = r.claims(t.Claims, values)
	return g, nil
}

// envelope checks what every token has: who signed how, for how long, for whom.
func (r *rule) envelope(t *Token) *refusal {
	switch {
	case t.Issuer == r.Issuer && r.Vouched:
		return nil
	case t.Issuer != r.Issuer:
		return &refusal{"iss", say("iss is %s, and the rule is for %s, to the letter", excerpt(t.Issuer), excerpt(r.Issuer))}
	case !slices.Contains(r.Algorithms, t.Algorithm):
		return &refusal{"alg", say("alg is %s, and the rule allows %s", excerpt(t.Algorithm), strings.Join(r.Algorithms, ", "))}
	case t.Life <= 0 || t.Life > r.MaxTTL:
		return &refusal{"life", say("the token lives %v (exp - iat), and the rule allows %v; ask for a shorter one, or raise max_ttl", t.Life, r.MaxTTL)}
	}
	aud, msg := r.audience(t.Claims.Get("aud"))
	if msg == "" && !slices.Contains(r.Audiences, aud) {
		return &refusal{"aud", say("aud is %s, and the rule takes %s; ask for a token with that audience", excerpt(aud), excerpts(r.Audiences))}
	}
	if msg != "" {
		return &refusal{"aud", say("%s", msg)}
	}
	return nil
}

// audience reads the one audience of a token. A list of one is the same as a string (RFC 7519 section 4.1.3), but for
// platforms that only ever write a string: there a list was not written by the platform's usual hand.
func (r *rule) audience(n *strictjson.Node) (aud, msg string) {
	switch {
	case n == nil:
		return "", "aud is absent: the token does not say whom it is for"
	case n.Kind == strictjson.Array && r.platform.stringAud:
		return "", "aud is a list, and " + r.platform.name + " writes a string; ask for a token with one audience"
	case n.Kind == strictjson.Array && len(n.Elems) != 1:
		return "", fmt.Sprintf("aud names %d audiences, and any of them could bring the token here; ask for a token with one", len(n.Elems))
	case n.Kind == strictjson.Array:
		n = &n.Elems[0]
	}
	aud, ok := n.Str()
	if !ok {
		return "", "aud is not a text"
	}
	return aud, ""
}

// fill makes base and scopes. A value that is not part of a segment refuses the token: put into a pattern it could widen
// what the rule grants.
func (r *rule) fill(g *Grant, values []string) *refusal {
	if r.made != nil {
		g.Base, g.Scopes = r.made.base, r.made.scopes
		return nil
	}
	g.Scopes = make(policy.Scopes, len(r.scopes))
	if p := r.base.misfit(values); p != nil {
		return misfit(p, values)
	}
	var err error
	if r.Map.Base != "" {
		if g.Base, err = secret.ParsePath(r.base.fill(values)); err != nil {
			return &refusal{"map", say("with the token's claims in it, map.base is not a path: it is too long, or a dot segment")}
		}
	}
	for i := range r.scopes {
		if p := r.scopes[i].misfit(values); p != nil {
			return misfit(p, values)
		}
		if g.Scopes[i], err = policy.ParseScope(r.scopes[i].fill(values)); err != nil {
			return &refusal{"map", say("with the token's claims in it, map.scope[%d] is not a scope: it is too long, or has a dot segment", i)}
		}
	}
	return nil
}

func misfit(p *part, values []string) *refusal {
	value := values[p.index]
	if !isSegment(value) {
		return &refusal{"map", func() string { return notSegment(p.claim, value) }}
	}
	return &refusal{"map", say("the value %s of claim %s cannot stand before %q in map.scope: another identity's would begin like it; map the claim to a segment of its own", excerpt(value), p.claim, p.until)}
}
