package identity

import (
	"context"
	"time"
)

// MaxAssertionLife is the longest life (exp - iat) of a client assertion.
const MaxAssertionLife = time.Minute

// VerifyAssertion says which client signed this assertion (RFC 7523 section 3): a JWT by a key of a trust rule for
// private_key_jwt, whose iss and sub are the client, with a jti. That it is used once is for the caller to see to, by the
// principal's issuer and token id, until Expires and Leeway are over. Errors are those of Verify.
func (v *Verifier) VerifyAssertion(ctx context.Context, token string) (*Verified, error) {
	if len(token) > MaxTokenBytes {
		return nil, invalid("the assertion is larger than 8 KiB")
	}
	now := v.wall()
	u, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	iss := v.issuers[u.UnsafeIssuer]
	if iss == nil {
		return nil, errNoIssuer
	}
	k, ok := iss.kind.(*platformTokens)
	if !ok || !k.issuer.Assertion {
		return nil, invalid("no trust rule is for client assertions of this iss")
	}
	a, err := iss.authenticate(ctx, u, token, now)
	if err != nil {
		return nil, err
	}
	if !isText(a.unsafeClaims.Get("sub"), u.UnsafeIssuer) || a.unsafeClaims.Get("jti") == nil {
		return nil, invalid("the assertion has no jti, or its sub is not its iss")
	}
	ver, w, err := k.admit(a, now)
	if err != nil {
		return nil, err
	}
	if w.life() > MaxAssertionLife {
		return nil, invalid("the assertion lives longer than a minute")
	}
	ver.Principal.AuthenticatedBy = "private_key_jwt"
	ver.Principal.ClientID = u.UnsafeIssuer
	return ver, nil
}
