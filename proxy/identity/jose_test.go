package identity_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// joseReads verifies a token with go-jose, an implementation that shares nothing with ours but Go's cryptography: with the
// keys of a JWK Set by the kid of the header, and the claims with the leeway that we grant.
func joseReads(token string, jwks []byte, iss string, now time.Time) (jwt.Claims, error) {
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &keys); err != nil {
		return jwt.Claims{}, err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.EdDSA})
	if err != nil {
		return jwt.Claims{}, err
	}
	if n := len(parsed.Headers); n != 1 {
		return jwt.Claims{}, fmt.Errorf("%d headers", n)
	}
	found := keys.Key(parsed.Headers[0].KeyID)
	if len(found) != 1 || found[0].Algorithm != parsed.Headers[0].Algorithm {
		return jwt.Claims{}, fmt.Errorf("%d keys of kid %q", len(found), parsed.Headers[0].KeyID)
	}
	var c jwt.Claims
	if err := parsed.Claims(found[0].Key, &c); err != nil {
		return c, err
	}
	return c, c.ValidateWithLeeway(jwt.Expected{Issuer: iss, AnyAudience: jwt.Audience{audience}, Time: now}, identity.Leeway)
}

// FuzzPlatformToken signs whatever header and claims it is given with a platform's key: what the verifier takes, go-jose
// takes too and reads in the same way.
func FuzzPlatformToken(f *testing.F) {
	// One key, always the same: signatures that differ from run to run would look like news to the fuzzer.
	key := &oidcemu.Key{ID: "k", Algorithm: "EdDSA", Private: testKey('p')}
	jwks := oidcemu.JWKS(key, platformKeys()["RS256"])
	header, payload := jsonText(f, key.Header()), jsonText(f, platformClaims())
	f.Add(header, payload)
	for _, p := range []string{
		edit(f, payload, "aud", `["`+audience+`"]`), edit(f, payload, "aud", `["`+audience+`","x"]`), edit(f, payload, "AUD", `"x"`),
		edit(f, payload, "nbf", ""), edit(f, payload, "jti", ""), edit(f, payload, "exp", "1795255201.5"), edit(f, payload, "exp", "253402300799"),
		strings.Replace(payload, `"aud"`, `"aud":"x","aud"`, 1), strings.Replace(payload, "prj_1", `\u0070rj_1`, 1), strings.Replace(payload, `"sub":"`, `"sub":"\ud800`, 1),
	} {
		f.Add(header, p)
	}
	for _, h := range []string{
		edit(f, header, "typ", ""), edit(f, header, "x5t", `"AAAA"`), edit(f, header, "crit", `["exp"]`), edit(f, header, "alg", `"RS256"`),
		strings.Replace(header, `"kid"`, `"jwk":{},"kid"`, 1), strings.Replace(header, `"kid"`, `"KID":"x","kid"`, 1),
	} {
		f.Add(h, payload)
	}
	c := newClock()
	v := platformVerifier(f, c, map[string]identity.KeySource{platform: newSource(f, key, platformKeys()["RS256"])}, rule())
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := key.SignText(header, payload)
		got, err := v.VerifyUncached(token)
		if err != nil {
			return
		}
		claims, err := joseReads(token, jwks, platform, c.Now())
		if err != nil {
			t.Fatalf("go-jose refuses what the verifier takes: %v\n%s\n%s", err, header, payload)
		}
		pr := got.Principal
		have := []any{pr.Issuer, pr.Subject, pr.Expires.Unix(), got.IssuedAt.Unix(), len(claims.Audience)}
		want := []any{claims.Issuer, claims.Subject, claims.Expiry.Time().Unix(), claims.IssuedAt.Time().Unix(), 1}
		if !reflect.DeepEqual(have, want) || claims.ID != "" && claims.ID != pr.TokenID {
			t.Fatalf("got %v; go-jose reads %v", have, want)
		}
	})
}

// The other way round: what go-jose signs, the verifier takes.
func TestTokensThatGoJOSESigns(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	for alg, key := range platformKeys() {
		signer, err := jose.NewSigner(
			jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key.Private, KeyID: key.ID}},
			(&jose.SignerOptions{}).WithType("JWT"),
		)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(platformClaims()).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if got := verify(t, v, token); got.Principal.KeyID != key.ID {
			t.Errorf("%s: got %+v", alg, got.Principal)
		}
	}
}
