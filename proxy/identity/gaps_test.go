package identity_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// What golang-jwt alone lets through. Each token is signed by the right key; each test first shows that the library, set
// up as its documentation recommends, takes the token, and then that the verifier does not. Where a new version of the
// library closes a gap, its test fails and can go.

// library parses with golang-jwt alone.
func library(token string, claims jwt.Claims, public crypto.PublicKey, more ...jwt.ParserOption) (*jwt.Token, error) {
	options := append([]jwt.ParserOption{
		jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithTimeFunc(newClock().Now), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}, more...)
	return jwt.NewParser(options...).ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return public, nil })
}

func TestWhatTheLibraryAloneLetsThrough(t *testing.T) {
	key := testKey('a')
	header, payload := parts(t, sign(t, key, goodClaims(t)))
	exp := fmt.Sprint(goodClaims(t).Expires.Unix())
	elsewhere := edit(t, payload, "aud", `"https://elsewhere.example"`)
	member := func(object, more string) string { return strings.TrimSuffix(object, "}") + "," + more + "}" }
	ours := fmt.Sprintf("%q", audience)
	structs := func() jwt.Claims { return &jwt.RegisteredClaims{} }
	maps := func() jwt.Claims { return jwt.MapClaims{} }
	strict := jwt.WithStrictDecoding()

	for _, tt := range []struct {
		name   string
		token  string
		claims func() jwt.Claims
		opts   []jwt.ParserOption
	}{
		{"AUD overrides aud in struct claims", forge(key, header, member(elsewhere, `"AUD":`+ours)), structs, []jwt.ParserOption{strict}},
		{"EXP overrides exp in struct claims", forge(key, header, member(edit(t, payload, "exp", "1"), `"EXP":`+exp)), structs, []jwt.ParserOption{strict}},
		{"long s is s in struct claims", forge(key, header, strings.Replace(payload, `"iss"`, `"iſſ"`, 1)), structs, []jwt.ParserOption{strict}},
		{"repeated aud, the last wins", forge(key, header, member(elsewhere, `"aud":`+ours)), maps, []jwt.ParserOption{strict}},
		{"repeated exp, the last wins", forge(key, header, member(edit(t, payload, "exp", "1"), `"exp":`+exp)), maps, []jwt.ParserOption{strict}},
		{"repeated alg, the last wins", forge(key, `{"alg":"none",`+strings.TrimPrefix(header, "{"), payload), maps, []jwt.ParserOption{strict}},
		{"crit is ignored", forge(key, member(header, `"crit":["exp"]`), payload), maps, []jwt.ParserOption{strict}},
		{"crit of b64 is ignored", forge(key, member(header, `"b64":false,"crit":["b64"]`), payload), maps, []jwt.ParserOption{strict}},
		{"typ is ignored", forge(key, edit(t, header, "typ", `"logout+jwt"`), payload), maps, []jwt.ParserOption{strict}},
		{"jwk is ignored", forge(key, member(header, `"jwk":{}`), payload), maps, []jwt.ParserOption{strict}},
		{"lone surrogates become U+FFFD", forge(key, header, edit(t, payload, "sub", `"\ud800"`)), maps, []jwt.ParserOption{strict}},
		{"exp with an exponent", forge(key, header, edit(t, payload, "exp", exp+"e0")), maps, []jwt.ParserOption{strict}},
		{"one of several aud", forge(key, header, edit(t, payload, "aud", `["https://elsewhere.example",`+ours+`]`)), maps, []jwt.ParserOption{strict}},
		{"CR and LF inside base64", forgeRaw(key, segment(header), segment(payload)[:10]+"\r\n"+segment(payload)[10:]), maps, []jwt.ParserOption{strict}},
		{"exp with a fraction", forge(key, header, edit(t, payload, "exp", exp+".5")), maps, []jwt.ParserOption{strict}},
		{"string exp in struct claims", forge(key, header, edit(t, payload, "exp", `"`+exp+`"`)), structs, []jwt.ParserOption{strict}},
		{"other bits at the end", withOtherBits(forge(key, header, payload)), maps, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, newClock(), keySet(t, key))
			if got, err := library(tt.token, tt.claims(), key.Public(), tt.opts...); err != nil || !got.Valid {
				t.Errorf("the library alone refuses it, so the gap is closed: %v", err)
			}
			if _, err := v.Verify(context.Background(), tt.token); !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("got %v; want ErrInvalid", err)
			}
		})
	}
}

// withOtherBits changes the four bits of the last character that belong to no byte.
func withOtherBits(token string) string {
	return token[:len(token)-1] + string(other(token[len(token)-1]))
}

// RFC 7518 section 3.5 fixes the salt of PS256 at 32 bytes; the library takes any. PS256 is not among the algorithms here.
func TestPSSSaltIsNotCheckedByTheLibrary(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, payload := parts(t, sign(t, testKey('a'), goodClaims(t)))
	input := segment(`{"alg":"PS256","typ":"at+jwt","kid":"k"}`) + "." + segment(payload)
	digest := crypto.SHA256.New()
	digest.Write([]byte(input))
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest.Sum(nil), &rsa.PSSOptions{SaltLength: 11})
	if err != nil {
		t.Fatal(err)
	}
	token := input + "." + segment(string(sig))
	if _, err := library(token, jwt.MapClaims{}, &key.PublicKey, jwt.WithValidMethods([]string{"PS256"})); err != nil {
		t.Errorf("the library alone refuses it, so the gap is closed: %v", err)
	}
	if _, err := newVerifier(t, newClock(), keySet(t, testKey('a'))).Verify(context.Background(), token); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %v; want ErrInvalid", err)
	}
}

// Under a key of small order one signature fits every message; the library and crypto/ed25519 take such keys.
func TestSmallOrderKeys(t *testing.T) {
	neutral := ed25519.PublicKey("\x01" + strings.Repeat("\x00", 31))
	_, payload := parts(t, sign(t, testKey('a'), goodClaims(t)))
	token := segment(`{"alg":"EdDSA"}`) + "." + segment(payload) + "." + segment("\x01"+strings.Repeat("\x00", 63))
	if _, err := library(token, jwt.MapClaims{}, neutral, jwt.WithStrictDecoding()); err != nil {
		t.Errorf("the library alone refuses the forged signature: %v", err)
	}
	if _, err := identity.NewKeySet(neutral); !errors.Is(err, identity.ErrInvalidKeySet) {
		t.Errorf("got %v; want ErrInvalidKeySet", err)
	}
}
