package identity_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	issuer   = "https://keyhole.example"
	audience = "https://keyhole.example/edge"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// clock is a wall clock that tests move.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.now.Store(start.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) Advance(d time.Duration) { c.now.Add(int64(d)) }
func (c *clock) Set(t time.Time)         { c.now.Store(t.UnixNano()) }

// testKey is a fixed key: seed is repeated into its 32 bytes.
func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

func keySet(tb testing.TB, keys ...ed25519.PrivateKey) *identity.KeySet {
	tb.Helper()
	var pubs []ed25519.PublicKey
	for _, k := range keys {
		pubs = append(pubs, k.Public().(ed25519.PublicKey))
	}
	s, err := identity.NewKeySet(pubs...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newSigner(tb testing.TB, key ed25519.PrivateKey) *identity.Signer {
	tb.Helper()
	s, err := identity.NewSigner(key, issuer, audience)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newVerifier(tb testing.TB, c *clock, keys *identity.KeySet) *identity.Verifier {
	tb.Helper()
	v, err := identity.New(identity.Config{Issuer: issuer, Audience: audience, Keys: keys, Wall: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func scopes(tb testing.TB, s string) policy.Scopes {
	tb.Helper()
	out, err := policy.ParseScopes(s)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func goodClaims(tb testing.TB) identity.Claims {
	tb.Helper()
	base, err := secret.ParsePath("web/production")
	if err != nil {
		tb.Fatal(err)
	}
	return identity.Claims{
		Subject: "project:prj_1", ClientID: "web", TokenID: "01K00000000000000000000001",
		Scopes: scopes(tb, "read:web/production/* list:web/**"), Base: base,
		Trust: "vercel-web", OriginIssuer: "https://oidc.vercel.com/acme", OriginTokenID: "tok_1",
		Parents: []string{"parent-1", "parent-2"},
		Claims:  []policy.Pair{{Name: "environment", Value: "production"}, {Name: "labels.team", Value: "a & b"}}, Cnf: base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		IssuedAt: start, Expires: start.Add(15 * time.Minute),
	}
}

// sign makes a good token.
func sign(tb testing.TB, key ed25519.PrivateKey, c identity.Claims) string {
	tb.Helper()
	token, err := newSigner(tb, key).Sign(c)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// forge signs whatever it is given, with the right key.
func forge(key ed25519.PrivateKey, header, payload string) string {
	return forgeRaw(key, segment(header), segment(payload))
}

func forgeRaw(key ed25519.PrivateKey, header, payload string) string {
	input := header + "." + payload
	return input + "." + segment(string(ed25519.Sign(key, []byte(input))))
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// parts gives the decoded header and payload of a token.
func parts(tb testing.TB, token string) (header, payload string) {
	tb.Helper()
	p := strings.Split(token, ".")
	h, err := base64.RawURLEncoding.DecodeString(p[0])
	if err != nil {
		tb.Fatal(err)
	}
	c, err := base64.RawURLEncoding.DecodeString(p[1])
	if err != nil {
		tb.Fatal(err)
	}
	return string(h), string(c)
}

// edit returns the JSON object text with one member set, or removed where value is "".
func edit(tb testing.TB, text, name, value string) string {
	tb.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		tb.Fatal(err)
	}
	if value == "" {
		delete(m, name)
	} else {
		m[name] = json.RawMessage(value)
	}
	out, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}
