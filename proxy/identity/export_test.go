package identity

import (
	"context"
	"crypto"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// VerifyUncached verifies as if the token had never been seen.
func (v *Verifier) VerifyUncached(token string) (*Verified, error) {
	return v.verify(context.Background(), token, digestOf(token), v.wall())
}

// Remembered counts the remembered verifications.
func (v *Verifier) Remembered() int {
	n := 0
	for i := range v.cache.shards {
		s := &v.cache.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}

// VerifyJWS runs the layers below issuers and claims: split, strict base64url, header rules, algorithm bound to the
// key, signature. The payload may be anything.
func VerifyJWS(token, algorithm string, public crypto.PublicKey) error {
	header, payload, signature, err := split(token)
	if err != nil {
		return err
	}
	u := &Unverified{}
	if err := u.readHeader(header); err != nil {
		return err
	}
	if _, err := decodeBase64(payload); err != nil {
		return err
	}
	sig, err := decodeBase64(signature)
	if err != nil {
		return err
	}
	if u.UnsafeAlgorithm != algorithm {
		return invalid("alg is not the one of this issuer")
	}
	method := jwt.GetSigningMethod(algorithm)
	if method == nil {
		return invalid("there is no such algorithm")
	}
	return method.Verify(token[:len(header)+1+len(payload)], sig, public)
}

// KeyMaterial reads the key of a JWK, whatever its alg, if it is meant to verify.
func KeyMaterial(jwk []byte) (pub crypto.PublicKey, meant bool, err error) {
	n, err := strictjson.Parse(jwk, strictjson.Limits{})
	if err != nil {
		return nil, false, err
	}
	if meant, err = meantToVerify(n); err != nil {
		return nil, false, err
	}
	kty, _ := n.Get("kty").Str()
	pub, _, err = keyMaterial(n, kty)
	return pub, meant, err
}

// Key returns the key of this kid and its algorithm.
func (s *KeySet) Key(id string) (crypto.PublicKey, string) {
	if k := s.byID[id]; k != nil {
		return k.public, k.algorithm
	}
	return nil, ""
}

// RememberFor is how long a verification is remembered.
const RememberFor = rememberFor * time.Second
