package identity_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// The form of access tokens is a contract with other verifiers: header and claims, byte by byte.
func TestSignGivesExactlyThisForm(t *testing.T) {
	key := testKey('a')
	header, payload := parts(t, sign(t, key, goodClaims(t)))
	wantHeader := `{"alg":"EdDSA","typ":"at+jwt","kid":"` + newSigner(t, key).KeyID() + `"}`
	wantPayload := `{"iss":"https://keyhole.example","sub":"project:prj_1","aud":"https://keyhole.example/edge",` +
		`"exp":1795256100,"iat":1795255200,"nbf":1795255200,"jti":"01K00000000000000000000001","client_id":"web",` +
		`"scope":"read:web/production/* list:web/**","base":"web/production",` +
		`"kh":{"trust":"vercel-web","origin_iss":"https://oidc.vercel.com/acme","origin_jti":"tok_1","parents":["parent-1","parent-2"],` +
		`"claims":{"environment":"production","labels.team":"a \u0026 b"}},` +
		`"cnf":{"jkt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}`
	if header != wantHeader {
		t.Errorf("got header %s; want %s", header, wantHeader)
	}
	if payload != wantPayload {
		t.Errorf("got claims %s; want %s", payload, wantPayload)
	}
}

func TestSignRefuses(t *testing.T) {
	s := newSigner(t, testKey('a'))
	many := make(policy.Scopes, 33)
	for i := range many {
		many[i] = scopes(t, "read:a")[0]
	}
	long := scopes(t, "read:"+strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 100)+"/", 5), "/"))[0]
	wide := make(policy.Scopes, 13) // 6.6 KB of claims, which base64 takes over 8 KiB
	for i := range wide {
		wide[i] = long
	}
	for _, tt := range []struct {
		name string
		edit func(*identity.Claims)
	}{
		{"no subject", func(c *identity.Claims) { c.Subject = "" }},
		{"subject not UTF-8", func(c *identity.Claims) { c.Subject = "\xff" }},
		{"origin token id not UTF-8", func(c *identity.Claims) { c.OriginTokenID = "\xff" }},
		{"parent not UTF-8", func(c *identity.Claims) { c.Parents = []string{"\xff"} }},
		{"no client", func(c *identity.Claims) { c.ClientID = "" }},
		{"no token id", func(c *identity.Claims) { c.TokenID = "" }},
		{"token id with space", func(c *identity.Claims) { c.TokenID = "a b" }},
		{"no scopes", func(c *identity.Claims) { c.Scopes = nil }},
		{"zero scope", func(c *identity.Claims) { c.Scopes = make(policy.Scopes, 1) }},
		{"33 scopes", func(c *identity.Claims) { c.Scopes = many }},
		{"larger than 8 KiB", func(c *identity.Claims) { c.Scopes = wide }},
		{"no trust", func(c *identity.Claims) { c.Trust = "" }},
		{"no origin", func(c *identity.Claims) { c.OriginIssuer = "" }},
		{"claim not UTF-8", func(c *identity.Claims) { c.Claims = []policy.Pair{{Name: "a", Value: "\xff"}} }},
		{"claims that differ in case", func(c *identity.Claims) { c.Claims = []policy.Pair{{Name: "A", Value: "b"}, {Name: "a", Value: "b"}} }},
		{"5 parents", func(c *identity.Claims) { c.Parents = []string{"a", "b", "c", "d", "e"} }},
		{"cnf is no thumbprint", func(c *identity.Claims) { c.Cnf = "x" }},
		{"no times", func(c *identity.Claims) { c.IssuedAt, c.Expires = time.Time{}, time.Time{} }},
		{"no end", func(c *identity.Claims) { c.Expires = time.Time{} }},
		{"ends as it starts", func(c *identity.Claims) { c.Expires = c.IssuedAt }},
		{"starts as it ends", func(c *identity.Claims) { c.NotBefore = c.Expires }},
		{"over an hour", func(c *identity.Claims) { c.Expires = c.IssuedAt.Add(time.Hour + time.Second) }},
	} {
		c := goodClaims(t)
		tt.edit(&c)
		if token, err := s.Sign(c); !errors.Is(err, identity.ErrClaims) || token != "" {
			t.Errorf("%s: got %q, %v; want ErrClaims", tt.name, token, err)
		}
	}
}

func TestNewSignerRefuses(t *testing.T) {
	key := testKey('a')
	for _, tt := range []struct {
		name             string
		key              ed25519.PrivateKey
		issuer, audience string
	}{{"no key", nil, issuer, audience}, {"half a key", key[:32], issuer, audience}, {"no issuer", key, "", audience}, {"no audience", key, issuer, ""}} {
		if _, err := identity.NewSigner(tt.key, tt.issuer, tt.audience); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func TestSignerOfSeed(t *testing.T) {
	key := testKey('a')
	seed := key.Seed()
	s, err := identity.SignerOf(seed, issuer, audience)
	if err != nil {
		t.Fatal(err)
	}
	clear(seed)
	want := newSigner(t, key)
	got, err := s.Sign(goodClaims(t))
	if err != nil || got != sign(t, key, goodClaims(t)) || s.KeyID() != want.KeyID() || !s.PublicKey().Equal(want.PublicKey()) {
		t.Errorf("got %s of %s, %v", got, s.KeyID(), err)
	}
	if _, err := identity.SignerOf(key.Seed()[:31], issuer, audience); !errors.Is(err, identity.ErrInvalidSigningKey) {
		t.Errorf("31 bytes: got %v", err)
	}
}

func TestSigningKeyRoundTrip(t *testing.T) {
	key, err := identity.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.MarshalSigningKey(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := identity.ParseSigningKey(append([]byte("\n"), text...))
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if !got.Equal(key) {
		t.Error("another key came back")
	}
	token := sign(t, got, goodClaims(t))
	if _, err := newVerifier(t, newClock(), keySet(t, key)).Verify(context.Background(), token); err != nil {
		t.Error(err)
	}
	if again, err := identity.GenerateSigningKey(); err != nil || again.Equal(key) {
		t.Errorf("two generated keys are equal, or %v", err)
	}
}

func TestParseSigningKeyRefuses(t *testing.T) {
	good, err := identity.MarshalSigningKey(testKey('a'))
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(testKey('a').Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for _, tt := range []struct {
		name string
		text []byte
	}{
		{"nothing", nil},
		{"text before", append([]byte("CANARY\n"), good...)},
		{"two keys", bytes.Repeat(good, 2)},
		{"text after", append(bytes.Clone(good), "CANARY"...)},
		{"cut", good[:len(good)-10]},
		{"headers", bytes.Replace(good, []byte("-----\n"), []byte("-----\nCanary: CANARY\n\n"), 1)},
		{"not PKCS #8", block("PRIVATE KEY", []byte("CANARY"))},
		{"ECDSA", block("PRIVATE KEY", der)},
		{"public key", block("PUBLIC KEY", public)},
		{"public key under a false name", block("PRIVATE KEY", public)},
		{"OpenSSH", block("OPENSSH PRIVATE KEY", []byte("CANARY"))},
	} {
		_, err := identity.ParseSigningKey(tt.text)
		if !errors.Is(err, identity.ErrInvalidSigningKey) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got %v; want ErrInvalidSigningKey without quotes", tt.name, err)
		}
	}
	if _, err := identity.MarshalSigningKey(testKey('a')[:10]); !errors.Is(err, identity.ErrInvalidSigningKey) {
		t.Errorf("marshalling a short key: %v", err)
	}
}
