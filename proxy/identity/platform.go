package identity

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// platformType reports whether tokens of other issuers may have this typ. Some leave it out, as RFC 7519 section 5.1
// allows; at+jwt is an access token (RFC 9068) that the issuer made for us, as aud says. Whatever else an issuer signs with
// the same key, such as logout+jwt, secevent+jwt or dpop+jwt, does not pass. That no token is taken for one of ours is not
// for typ to see to: iss says whose it is, and no rule can be for our own.
func platformType(typ string) bool { return typ == "" || typ == "JWT" || typ == accessTokenType }

// platformTokens are the tokens of an issuer that trust rules name.
type platformTokens struct {
	issuer    trust.Issuer
	rules     *trust.Set
	validator *jwt.Validator
}

func newPlatformTokens(i trust.Issuer, rules *trust.Set, wall func() time.Time) *platformTokens {
	return &platformTokens{i, rules, newValidator(i.Issuer, wall)}
}

func (k *platformTokens) accept(a *authentic, now time.Time) (*Verified, window, error) {
	if k.issuer.Assertion {
		return nil, window{}, errAssertion
	}
	return k.admit(a, now)
}

// admit holds an authentic token against the clock and the rules.
func (k *platformTokens) admit(a *authentic, now time.Time) (*Verified, window, error) {
	c, err := k.read(a)
	if err != nil {
		return nil, window{}, err
	}
	if err := c.window.check(now); err != nil {
		return nil, window{}, err
	}
	g, err := k.rules.Admit(c.Token)
	if err != nil {
		return nil, window{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if k.validator.Validate(a.library) != nil {
		return nil, window{}, errRefused
	}
	return c.verified(g, a.key), c.window, nil
}

// platformClaims are the claims that mean the same in every platform's tokens.
type platformClaims struct {
	trust.Token
	window  window
	tokenID string
}

// read reads the claims of an authentic token. exp and iat must be there, nbf and jti need not; sub is for the rules.
func (k *platformTokens) read(a *authentic) (*platformClaims, error) {
	if !platformType(a.UnsafeType) {
		return nil, invalid("typ is neither absent nor JWT nor " + accessTokenType)
	}
	n := a.unsafeClaims
	// A token that only the holder of some key may use would become a bearer token here (RFC 7800).
	if n.Get("cnf") != nil {
		return nil, invalid("cnf binds the token to a key, and such tokens are not taken")
	}
	w, err := readWindow(n)
	if err != nil {
		return nil, err
	}
	if w.expires <= w.issued || w.expires <= w.notBefore {
		return nil, errNoLife
	}
	c := &platformClaims{
		Token:  trust.Token{Issuer: k.issuer.Issuer, Algorithm: a.key.algorithm, Claims: n, Life: w.life()},
		window: w,
	}
	jti := n.Get("jti")
	if jti == nil {
		c.tokenID = digestID(a.tokenDigest())
		return c, nil
	}
	if c.tokenID, err = text(jti, "jti", maxIDBytes); err != nil {
		return nil, err
	}
	if !printable(c.tokenID) {
		return nil, invalid("jti is not printable ASCII")
	}
	return c, nil
}

func (c *platformClaims) verified(g *trust.Grant, k *key) *Verified {
	return &Verified{
		Principal: policy.Principal{
			Trust: g.Rule.Name, Issuer: c.Issuer, Subject: g.Subject, TokenID: c.tokenID, KeyID: k.id, AuthenticatedBy: "oidc",
			Base: g.Base, Scopes: g.Scopes, Claims: g.Claims, Expires: time.Unix(c.window.expires, 0).UTC(),
		},
		IssuedAt: time.Unix(c.window.issued, 0).UTC(), NotBefore: time.Unix(c.window.notBefore, 0).UTC(),
	}
}
