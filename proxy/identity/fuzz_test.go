package identity_test

import (
	"context"
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// FuzzVerify feeds whole tokens: none may panic, none but the one signed here can be good.
func FuzzVerify(f *testing.F) {
	key := testKey('a')
	good := sign(f, key, goodClaims(f))
	v := newVerifier(f, newClock(), keySet(f, key))
	f.Add(good)
	f.Add("kh_production_000000000000000000000000000000000000")
	f.Add("..")
	f.Add(segment(`{"alg":"none"}`) + "." + segment("{}") + ".")
	f.Add(good + "\n")
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(context.Background(), token)
		if (err == nil) != (token == good) || (err == nil) != (got != nil) {
			t.Fatalf("Verify(%q) = %v, %v", token, got, err)
		}
		if u, err := identity.ParseUnverified(token); err == nil {
			if u.UnsafeAlgorithm == "" || strings.Count(token, ".") != 2 {
				t.Fatalf("ParseUnverified(%q) = %+v", token, u)
			}
		}
	})
}

// FuzzSignedClaims signs whatever header and claims it is given with the right key: what the verifier takes, golang-jwt
// takes too and reads in the same way.
func FuzzSignedClaims(f *testing.F) {
	key := testKey('a')
	header, payload := parts(f, sign(f, key, goodClaims(f)))
	f.Add(header, payload)
	f.Add(header, edit(f, payload, "exp", "1795255201"))
	f.Add(header, edit(f, payload, "AUD", `"x"`))
	f.Add(header, edit(f, payload, "aud", `["x"]`))
	f.Add(strings.Replace(header, `"typ"`, `"crit":["exp"],"typ"`, 1), payload)
	f.Add(header, edit(f, payload, "kh", `{"trust":"local","origin_iss":"x","parents":["a"]}`))
	kid := newSigner(f, key).KeyID()
	v := newVerifier(f, newClock(), keySet(f, key))
	f.Fuzz(func(t *testing.T, header, payload string) {
		// Committed inputs cannot know the kid, so they say "k".
		token := forge(key, strings.Replace(header, `"kid":"k"`, `"kid":"`+kid+`"`, 1), payload)
		got, err := v.VerifyUncached(token)
		if err != nil {
			return
		}
		claims := jwt.MapClaims{}
		_, err = library(token, claims, key.Public().(ed25519.PublicKey), jwt.WithStrictDecoding(), jwt.WithLeeway(identity.Leeway), jwt.WithNotBeforeRequired())
		if err != nil {
			t.Fatalf("the library refuses what the verifier takes: %v", err)
		}
		exp, _ := claims.GetExpirationTime()
		want := []any{claims["sub"], claims["client_id"], claims["jti"], claims["scope"], exp.Unix()}
		pr := got.Principal
		if have := []any{pr.Subject, pr.ClientID, pr.TokenID, pr.Scopes.String(), pr.Expires.Unix()}; !reflect.DeepEqual(have, want) {
			t.Fatalf("got %v; the library reads %v", have, want)
		}
	})
}

// FuzzParseKeySet: no document panics, and what is taken comes back from its own JSON form.
func FuzzParseKeySet(f *testing.F) {
	for _, jwk := range []string{rsaJWK, ecJWK, edJWK, p521JWK, `{"kty":"oct","k":"AAAA"}`, rsaJWK + "," + edJWK} {
		f.Add([]byte(`{"keys":[` + jwk + `]}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := identity.ParseKeySet(data)
		if err != nil {
			return
		}
		text, err := set.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := identity.ParseKeySet(text)
		if err != nil || !reflect.DeepEqual(again.KeyIDs(), set.KeyIDs()) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
