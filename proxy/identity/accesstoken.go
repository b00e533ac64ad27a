package identity

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// accessTokenType is the typ of access tokens (RFC 9068 section 2.1), to be matched exactly: no other token that the
// same key may sign can pass for one.
const accessTokenType = "at+jwt"

// accessTokens are the tokens that we sign.
type accessTokens struct {
	audience  string
	maxTTL    time.Duration
	validator *jwt.Validator
}

func newAccessTokens(iss, aud string, maxTTL time.Duration, wall func() time.Time) *accessTokens {
	return &accessTokens{aud, maxTTL, newValidator(iss, wall, jwt.WithAudience(aud), jwt.WithNotBeforeRequired())}
}

func (k *accessTokens) accept(a *authentic, now time.Time) (*Verified, window, error) {
	if a.UnsafeType != accessTokenType {
		return nil, window{}, invalid("typ is not " + accessTokenType)
	}
	if a.unsafeThumbprint {
		return nil, window{}, invalid("the header of an access token is alg, typ and kid")
	}
	c, err := readClaims(a.unsafeClaims)
	if err != nil {
		return nil, window{}, err
	}
	w := c.window()
	if err := w.checkLife(k.maxTTL); err != nil {
		return nil, window{}, err
	}
	if err := w.check(now); err != nil {
		return nil, window{}, err
	}
	if !isText(a.unsafeClaims.Get("aud"), k.audience) {
		return nil, window{}, invalid("aud is not one string, or the token is for another service")
	}
	if k.validator.Validate(a.library) != nil {
		return nil, window{}, errRefused
	}
	return &Verified{
		Principal: policy.Principal{
			Trust: c.Trust, Issuer: c.OriginIssuer, Subject: c.Subject, ClientID: c.ClientID, TokenID: c.TokenID,
			KeyID: a.key.id, Parents: c.Parents, Cnf: c.Cnf, AuthenticatedBy: "access_token", Base: c.Base,
			Scopes: c.Scopes, Claims: c.Claims, Expires: c.Expires,
		},
		IssuedAt: c.IssuedAt, NotBefore: c.NotBefore, OriginTokenID: c.OriginTokenID,
	}, w, nil
}

func isText(n *strictjson.Node, want string) bool {
	s, ok := n.Str()
	return ok && s == want
}
