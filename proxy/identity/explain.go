package identity

import (
	"context"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// Explanation is what a Verifier makes of a token, for the person who holds it. It says more than a caller may learn.
type Explanation struct {
	Verified *Verified // nil unless the token is taken
	Err      error     // why it is not taken, as of Verify
	// Findings has what each trust rule says, in file order; none where the token is one of ours, or not a token. A rule of
	// the token's issuer that fails before it is looked at, since the token is not authentic, fails at Check "alg", "kid" or
	// "signature"; of an authentic token that is wrong in itself, at "typ or claims". A rule that would take the token at
	// another time is Taken, although Err says that now is not the time.
	Findings []trust.Finding
}

// Explain verifies a token as Verify does, and says what each trust rule makes of it. Nothing is remembered.
func (v *Verifier) Explain(ctx context.Context, token string) Explanation {
	now := v.wall()
	u, err := v.parse(token)
	if err != nil {
		return Explanation{Err: err}
	}
	iss := v.issuers[u.UnsafeIssuer]
	if iss == nil {
		return Explanation{Err: errNoIssuer, Findings: v.unread(u, "iss", errNoIssuer)}
	}
	a, err := iss.authenticate(ctx, u, token, now)
	if err != nil {
		check := "signature"
		switch {
		case errors.Is(err, errAlgorithm):
			check = "alg"
		case errors.Is(err, ErrUnknownKey), errors.Is(err, errNoKeyID):
			check = "kid"
		}
		return Explanation{Err: err, Findings: v.unread(u, check, err)}
	}
	e := Explanation{}
	e.Verified, _, e.Err = iss.accept(a, now)
	platform, ok := iss.kind.(*platformTokens)
	if !ok {
		return e
	}
	if platform.issuer.Assertion {
		if _, err := platform.admitClient(a, now); err != nil {
			e.Err = err
		}
	}
	c, err := platform.read(a)
	if err != nil {
		e.Findings = v.unread(u, "typ or claims", err)
		return e
	}
	e.Findings = v.rules.Explain(c.Token)
	return e
}

// unread is what the rules say of a token that none looks at: those of its issuer fail at check, the others at iss.
func (v *Verifier) unread(u *Unverified, check string, err error) []trust.Finding {
	if v.rules == nil {
		return nil
	}
	found := v.rules.Explain(trust.Token{Issuer: u.UnsafeIssuer, Algorithm: u.UnsafeAlgorithm, Claims: u.unsafeClaims})
	for i := range found {
		if f := &found[i]; f.Rule.Issuer == u.UnsafeIssuer {
			f.Taken, f.Check, f.Reason = false, check, err.Error()
		}
	}
	return found
}
