package identity

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// authenticate checks that the issuer signed the token. It returns the key that did, and the claims as the library reads
// them; neither their times nor their audience have been looked at.
func (i *issuer) authenticate(u *Unverified, token string, now time.Time) (*key, jwt.MapClaims, error) {
	if u.UnsafeAlgorithm != i.algorithm {
		return nil, nil, invalid("alg is not the one of this issuer")
	}
	if u.UnsafeKeyID == "" {
		return nil, nil, invalid("the header has no kid")
	}
	k := i.keys.Load().byID[u.UnsafeKeyID]
	if k == nil || !k.stands(now.Unix()) {
		return nil, nil, ErrUnknownKey
	}
	if k.algorithm != i.algorithm {
		return nil, nil, invalid("the key is for another algorithm")
	}
	claims := jwt.MapClaims{}
	_, err := i.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return k.public, nil })
	if err != nil {
		return nil, nil, invalid("the signature is not that of the key named by kid")
	}
	return k, claims, nil
}

// checkClaims reads the claims of an authentic token and holds them against the issuer's rule.
func (i *issuer) checkClaims(u *Unverified, library jwt.MapClaims, now time.Time) (*Claims, error) {
	if u.UnsafeType != accessTokenType {
		return nil, invalid("typ is not " + accessTokenType)
	}
	if u.unsafeThumbprint {
		return nil, invalid("the header of an access token is alg, typ and kid")
	}
	c, err := readClaims(u.unsafeClaims)
	if err != nil {
		return nil, err
	}
	w := c.window()
	if err := w.checkLife(i.maxTTL); err != nil {
		return nil, err
	}
	if err := w.check(now); err != nil {
		return nil, err
	}
	if !isText(u.unsafeClaims.Get("aud"), i.audience) {
		return nil, invalid("aud is not one string, or the token is for another service")
	}
	if i.validator.Validate(library) != nil {
		return nil, invalid("the claims are refused")
	}
	return c, nil
}

func isText(n *strictjson.Node, want string) bool {
	s, ok := n.Str()
	return ok && s == want
}
