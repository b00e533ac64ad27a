package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks/oidctest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

var algorithms = []string{identity.ES256, identity.RS256, identity.EdDSA}

func TestOpenBao(t *testing.T) {
	bao := baotest.StartTLS(t)
	bao.Policy(t, "oidc", map[string]string{"identity/oidc/token/*": "read"})
	role, secret := bao.AppRole(t, "oidc", nil)
	_, answer := bao.Do(t, "POST", "auth/approle/login", map[string]string{"role_id": role, "secret_id": secret})
	login, _ := answer["auth"].(map[string]any)
	token, _ := login["client_token"].(string)
	owner := bao.As(token)
	makeKey := func(algorithm string) {
		bao.Must(t, "POST", "identity/oidc/key/"+algorithm, map[string]any{"algorithm": algorithm, "allowed_client_ids": "*"})
		bao.Must(t, "POST", "identity/oidc/role/"+algorithm, map[string]any{"key": algorithm, "ttl": "1h", "client_id": "keyhole"})
	}
	mint := func(algorithm string) string {
		text, _ := owner.Must(t, "GET", "identity/oidc/token/"+algorithm, nil)["token"].(string)
		return text
	}

	var wall steps
	s := open(t, jwks.Config{Issuer: bao.URL + "/v1/identity/oidc", Roots: bao.Roots, AllowPrivate: true, Wall: wall.now})
	var old []string
	for _, algorithm := range algorithms {
		makeKey(algorithm)
		old = append(old, mint(algorithm))
		wantGood(t, s, old...)
		wall.jump(jwks.MissPause)
	}
	for range 3 {
		for _, algorithm := range algorithms {
			bao.Must(t, "POST", "identity/oidc/key/"+algorithm+"/rotate", map[string]any{"verification_ttl": "1h"})
			old = append(old, mint(algorithm))
		}
		wantGood(t, s, old...)
		wall.jump(jwks.MissPause)
	}
	for _, algorithm := range algorithms {
		bao.Must(t, "DELETE", "identity/oidc/role/"+algorithm, nil)
		bao.Must(t, "DELETE", "identity/oidc/key/"+algorithm, nil)
	}
	wantGood(t, s, old...) // not yet looked at
	wantUnknown(t, s, "nobody's")
	for _, token := range old {
		wantUnknown(t, s, kidOf(t, token))
	}
}

func TestProvider(t *testing.T) {
	p := oidctest.Start(t)
	var wall steps
	s := open(t, jwks.Config{Issuer: p.Issuer, Roots: p.Roots, AllowPrivate: true, Wall: wall.now})
	var old []string
	for range 4 {
		for _, algorithm := range algorithms {
			old = append(old, p.Token(t, algorithm))
		}
		wantGood(t, s, old...)
		wall.jump(jwks.MissPause)
		p.Rotate(t, true)
	}
	wantGood(t, s, old...)
	p.Rotate(t, false)
	wantGood(t, s, p.Token(t, identity.ES256))
	for _, token := range old {
		wantUnknown(t, s, kidOf(t, token))
	}
	// The provider signs with a key that it has just made, twice within the pause.
	p.Rotate(t, true)
	if wait := wantUnknown(t, s, kidOf(t, p.Token(t, identity.RS256))); wait > jwks.MissPause {
		t.Errorf("RetryAfter: got %v", wait)
	}
	wall.jump(jwks.MissPause + time.Second)
	wantGood(t, s, p.Token(t, identity.RS256))
}

// wantGood verifies tokens with the keys that the source gives for them.
func wantGood(t *testing.T, s *jwks.Source, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		id := kidOf(t, token)
		keys := wantKey(t, s, id)
		_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return publicKey(t, keys, id), nil }, jwt.WithValidMethods(algorithms), jwt.WithoutClaimsValidation())
		if err != nil {
			t.Errorf("a token is refused: %v", err)
		}
	}
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := parsed.Header["kid"].(string)
	return id
}

// publicKey reads a key from what the set publishes.
func publicKey(t *testing.T, keys *identity.KeySet, id string) crypto.PublicKey {
	t.Helper()
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ Kid, Kty, N, E, X, Y string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	bytesOf := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, k := range set.Keys {
		switch {
		case k.Kid != id:
		case k.Kty == "OKP":
			return ed25519.PublicKey(bytesOf(k.X))
		case k.Kty == "RSA":
			return &rsa.PublicKey{N: new(big.Int).SetBytes(bytesOf(k.N)), E: int(new(big.Int).SetBytes(bytesOf(k.E)).Int64())}
		default:
			pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, append(bytesOf(k.X), bytesOf(k.Y)...)...))
			if err != nil {
				t.Fatal(err)
			}
			return pub
		}
	}
	t.Fatalf("no key %s", id)
	return nil
}
