package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

func newClientKey(tb testing.TB) (key *identity.ClientKey, private, public []byte) {
	tb.Helper()
	key, err := identity.NewClientKey("worker")
	if err == nil {
		private, err = key.Private()
	}
	if err == nil {
		public, err = key.Public()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key, private, public
}

// clientVerifier takes the assertions of these public keys, read as whoever registers them does.
func clientVerifier(tb testing.TB, public []byte) *identity.Verifier {
	tb.Helper()
	keys, err := identity.ParsePublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	return platformVerifier(tb, newClock(), map[string]identity.KeySource{"worker": keys}, trust.Rule{
		Name: "worker", Issuer: "worker", JWKS: "file:x", Algorithms: []string{"EdDSA"}, Audiences: []string{audience}, Assertion: true,
		Require: map[string][]string{"sub": {"worker"}}, Map: trust.Map{Scopes: []string{"read:web/production/*"}},
	})
}

// What a key signs, before and after it was written down, the public half verifies; go-jose can sign with it as well.
func TestClientKey(t *testing.T) {
	made, private, public := newClientKey(t)
	read, err := identity.ParseClientKey(append(private, '\n'))
	if err != nil {
		t.Fatal(err)
	}
	if read.ClientID() != "worker" || read.KeyID() != made.KeyID() || strings.ContainsAny(string(private), "\n ") {
		t.Errorf("got %s", private)
	}
	v := clientVerifier(t, public)
	seen := map[string]bool{}
	takes := func(token string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.VerifyAssertion(context.Background(), token)
		if err != nil {
			t.Fatal(err)
		}
		if pr := got.Principal; pr.ClientID != "worker" || pr.KeyID != made.KeyID() || !pr.Expires.Equal(start.Add(time.Minute)) || seen[pr.TokenID] {
			t.Errorf("got %+v", pr)
		}
		seen[got.Principal.TokenID] = true
	}
	takes(made.Assertion(audience, start))
	takes(read.Assertion(audience, start))
	var foreign jose.JSONWebKey
	if err := json.Unmarshal(private, &foreign); err != nil || foreign.KeyID != made.KeyID() || foreign.IsPublic() {
		t.Fatalf("go-jose reads %+v (%v)", foreign, err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: foreign}, nil)
	if err != nil {
		t.Fatal(err)
	}
	takes(jwt.Signed(signer).Claims(map[string]any{
		"iss": "worker", "sub": "worker", "aud": audience, "jti": "1", "iat": start.Unix(), "exp": start.Unix() + 60,
	}).Serialize())
	if _, err := clientVerifier(t, must(identity.NewClientKey("worker"))).VerifyAssertion(context.Background(), must2(made.Assertion(audience, start))); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("under another's key: got %v", err)
	}
}

func must(k *identity.ClientKey, err error) []byte {
	if err != nil {
		panic(err)
	}
	public, err := k.Public()
	if err != nil {
		panic(err)
	}
	return public
}

func must2(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

func TestClientKeysThatAreRefused(t *testing.T) {
	_, private, public := newClientKey(t)
	_, other, _ := newClientKey(t)
	good := string(private)
	for name, text := range map[string]string{
		"nothing":        "",
		"no JSON":        "secret",
		"a list":         "[" + good + "]",
		"two":            good + good,
		"the public":     string(public),
		"no client":      edit(t, good, "client_id", ""),
		"a platform":     edit(t, good, "client_id", `"https://oidc.vercel.com"`),
		"another's x":    edit(t, good, "x", member(t, other, "x")),
		"another's d":    edit(t, good, "d", member(t, other, "d")),
		"a short d":      edit(t, good, "d", `"AAAA"`),
		"an RSA key":     edit(t, good, "kty", `"RSA"`),
		"another curve":  edit(t, good, "crv", `"X25519"`),
		"a kid of 1":     edit(t, good, "kid", `1`),
		"d twice":        strings.Replace(good, `"d":`, `"d":"","d":`, 1),
		"D besides":      strings.Replace(good, `"d":`, `"D":"","d":`, 1),
		"larger than 4K": edit(t, good, "note", `"`+strings.Repeat("x", 4<<10)+`"`),
	} {
		_, err := identity.ParseClientKey([]byte(text))
		if !errors.Is(err, identity.ErrInvalidClientKey) || strings.Contains(err.Error(), member(t, private, "d")) {
			t.Errorf("%s: got %v, want ErrInvalidClientKey", name, err)
		}
	}
	if k, err := identity.ParseClientKey([]byte(edit(t, edit(t, good, "kid", ""), "note", `"x"`))); err != nil || k.KeyID() == "" {
		t.Errorf("without kid: got %v", err)
	}
	if k, err := identity.ParseClientKey([]byte(edit(t, good, "kid", `"mine"`))); err != nil || k.KeyID() != "mine" {
		t.Errorf("with a kid of its own: got %v", err)
	}
	if _, err := identity.NewClientKey("a b"); !errors.Is(err, identity.ErrInvalidClientKey) {
		t.Errorf("got %v", err)
	}
}

// member is one member of a JSON object, as it stands there.
func member(tb testing.TB, text []byte, name string) string {
	tb.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		tb.Fatal(err)
	}
	return string(m[name])
}

func TestClientKeyIsNotPrinted(t *testing.T) {
	key, _, _ := newClientKey(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, key); got != "client key "+key.KeyID() {
			t.Errorf("%s: got %s", verb, got)
		}
	}
}

func TestParsePublicKey(t *testing.T) {
	_, private, public := newClientKey(t)
	for name, text := range map[string]string{
		"a set": `{"keys":[` + string(public) + `]}`, "no kty": edit(t, string(public), "kty", ""), "for encryption": edit(t, string(public), "use", `"enc"`),
		"another curve": `{"kty":"OKP","crv":"X25519","x":"AAAA"}`,
	} {
		if _, err := identity.ParsePublicKey([]byte(text)); !errors.Is(err, identity.ErrInvalidKeySet) || errors.Is(err, identity.ErrPrivateKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, text := range []string{string(private), `{"kty":"oct","k":"AAAA"}`} {
		if _, err := identity.ParsePublicKey([]byte(text)); !errors.Is(err, identity.ErrPrivateKey) || !errors.Is(err, identity.ErrInvalidKeySet) {
			t.Errorf("a private key: got %v", err)
		}
	}
	named, err := identity.ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := identity.ParsePublicKey([]byte(edit(t, string(public), "kid", "")))
	if err != nil || !slices.Equal(bare.KeyIDs(), named.KeyIDs()) {
		t.Errorf("without kid: got %v (%v), want its thumbprint", bare.KeyIDs(), err)
	}
	_, _, other := newClientKey(t)
	renamed, err := identity.ParsePublicKey([]byte(edit(t, string(public), "kid", `"mine"`)))
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := identity.ParsePublicKey([]byte(edit(t, string(other), "kid", `"mine"`)))
	if err != nil {
		t.Fatal(err)
	}
	if !named.Meets(renamed) || !renamed.Meets(impostor) || named.Meets(impostor) || named.Meets(keySet(t)) {
		t.Error("sets meet where they share a key or a kid, and else do not")
	}
	set, err := identity.ParseKeySet(oidcemu.JWKS(allKeys()...))
	if err != nil || !slices.Equal(set.Algorithms(), []string{"ES256", "ES384", "EdDSA", "RS256"}) || len(keySet(t).Algorithms()) != 0 {
		t.Errorf("got %v (%v)", set.Algorithms(), err)
	}
}
