package identity

import (
	"context"
	"errors"
	"time"
)

// errAssertion is for an assertion where a token is wanted.
var errAssertion = invalid("a client assertion is for the token endpoint alone")

// IsAssertion reports whether an error of Explain is that the token is a client's assertion, which VerifyAssertion takes.
func IsAssertion(err error) bool { return errors.Is(err, errAssertion) }

// VerifyAssertion says which client signed this assertion (RFC 7523 section 3): a JWT by a key of a trust rule for
// private_key_jwt, whose iss and sub are the client. That it is used once is for the caller to see to, by the
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
	return k.admitClient(a, now)
}

// admitClient is admit for an assertion.
func (k *platformTokens) admitClient(a *authentic, now time.Time) (*Verified, error) {
	if !isText(a.unsafeClaims.Get("sub"), a.UnsafeIssuer) {
		return nil, invalid("the sub of the assertion is not its iss")
	}
	ver, _, err := k.admit(a, now)
	if err != nil {
		return nil, err
	}
	ver.Principal.AuthenticatedBy = "private_key_jwt"
	ver.Principal.ClientID = a.UnsafeIssuer
	return ver, nil
}
