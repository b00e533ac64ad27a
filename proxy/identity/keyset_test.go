package identity_test

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Public keys of RFC 7517 appendix A.1, RFC 8037 appendix A.2 and RFC 7520 section 3.1 (P-521).
const (
	rsaN    = `0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw`
	ecX     = `MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4`
	ecY     = `4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM`
	edX     = `11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo`
	rsaJWK  = `{"kty":"RSA","n":"` + rsaN + `","e":"AQAB","kid":"rsa"}`
	ecJWK   = `{"kty":"EC","crv":"P-256","x":"` + ecX + `","y":"` + ecY + `","kid":"ec"}`
	edJWK   = `{"kty":"OKP","crv":"Ed25519","x":"` + edX + `","kid":"ed"}`
	p521JWK = `{"kty":"EC","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1","kid":"p521"}`
)

func parseSet(t *testing.T, keys ...string) *identity.KeySet {
	t.Helper()
	s, err := identity.ParseKeySet([]byte(`{"keys":[` + strings.Join(keys, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseKeySetGivesEachKeyOneAlgorithm(t *testing.T) {
	s := parseSet(t, rsaJWK, ecJWK, edJWK)
	for kid, want := range map[string]string{"rsa": identity.RS256, "ec": identity.ES256, "ed": identity.EdDSA} {
		if pub, alg := s.Key(kid); pub == nil || alg != want {
			t.Errorf("%s: got %T for %q; want a key for %q", kid, pub, alg, want)
		}
	}
	if s.Len() != 3 || fmt.Sprint(s.KeyIDs()) != "[rsa ec ed]" {
		t.Errorf("got %d keys %v; want three in order", s.Len(), s.KeyIDs())
	}
}

func TestParseKeySetLeavesOutKeysForOtherPurposes(t *testing.T) {
	for name, jwk := range map[string]string{
		"unknown kty":         `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","kid":"other"}`,
		"unknown crv":         `{"kty":"OKP","crv":"Ed448","x":"AAAA","kid":"other"}`,
		"X25519":              `{"kty":"OKP","crv":"X25519","x":"` + edX + `","kid":"other"}`,
		"P-521":               p521JWK,
		"for encryption":      edit(t, rsaJWK, "use", `"enc"`),
		"encryption alg":      edit(t, rsaJWK, "alg", `"RSA-OAEP"`),
		"PSS":                 edit(t, rsaJWK, "alg", `"PS256"`),
		"RS512":               edit(t, rsaJWK, "alg", `"RS512"`),
		"key_ops of wrapping": edit(t, rsaJWK, "key_ops", `["wrapKey"]`),
		"empty key_ops":       edit(t, rsaJWK, "key_ops", `[]`),
		"no kid":              edit(t, rsaJWK, "kid", ""),
	} {
		if s := parseSet(t, jwk, edJWK); s.Len() != 1 || s.KeyIDs()[0] != "ed" {
			t.Errorf("%s: got keys %v; want ed alone", name, s.KeyIDs())
		}
	}
	for name, jwk := range map[string]string{
		"use sig":         edit(t, edJWK, "use", `"sig"`),
		"key_ops verify":  edit(t, edJWK, "key_ops", `["verify"]`),
		"both":            edit(t, edit(t, edJWK, "use", `"sig"`), "key_ops", `["verify"]`),
		"alg":             edit(t, edJWK, "alg", `"EdDSA"`),
		"x5c and unknown": edit(t, edit(t, edJWK, "x5c", `["AAAA"]`), "issued_by", `{"a":1}`),
	} {
		if s := parseSet(t, jwk); s.Len() != 1 {
			t.Errorf("%s: the key was left out", name)
		}
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = edit(t, edJWK, "kid", fmt.Sprintf(`"%d"`, i))
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	number := func(bits int, odd bool) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		if odd {
			n.SetBit(n, 0, 1)
		}
		return `"` + segment(string(n.Bytes())) + `"`
	}
	for name, text := range map[string]string{
		"nothing":                    "",
		"array":                      "[]",
		"no keys":                    "{}",
		"keys is an object":          `{"keys":{}}`,
		"key is a string":            set(`"x"`),
		"65 keys":                    set(many...),
		"over 256 KiB":               set(edit(t, edJWK, "x5c", `["`+strings.Repeat("A", 256<<10)+`"]`)),
		"repeated member":            `{"keys":[],"keys":[]}`,
		"KEYS besides keys":          `{"keys":[],"KEYS":[]}`,
		"symmetric":                  set(edJWK, `{"kty":"oct","k":"AAAA","kid":"s"}`),
		"symmetric without k":        set(edJWK, `{"kty":"oct","kid":"s"}`),
		"private Ed25519":            set(edit(t, edJWK, "d", `"`+edX+`"`)),
		"private RSA without d":      set(edit(t, rsaJWK, "p", `"AAAA"`)),
		"private for encryption":     set(edit(t, edit(t, rsaJWK, "d", `"AAAA"`), "use", `"enc"`)),
		"repeated kid":               set(edJWK, edit(t, ecJWK, "kid", `"ed"`)),
		"repeated kid, one left out": set(edJWK, edit(t, p521JWK, "kid", `"ed"`)),
		"no kty":                     set(edit(t, edJWK, "kty", "")),
		"kty number":                 set(edit(t, edJWK, "kty", "1")),
		"kid number":                 set(edit(t, edJWK, "kid", "1")),
		"empty kid":                  set(edit(t, edJWK, "kid", `""`)),
		"use number":                 set(edit(t, edJWK, "use", "1")),
		"key_ops string":             set(edit(t, edJWK, "key_ops", `"verify"`)),
		"key_ops repeated":           set(edit(t, edJWK, "key_ops", `["verify","verify"]`)),
		"use and key_ops disagree":   set(edit(t, edit(t, edJWK, "use", `"sig"`), "key_ops", `["encrypt"]`)),
		"alg of another kty":         set(edit(t, edJWK, "alg", `"RS256"`)),
		"alg of another curve":       set(edit(t, ecJWK, "alg", `"ES384"`)),
		"RSA with alg of EC":         set(edit(t, rsaJWK, "alg", `"ES256"`)),
		"kty of another key":         set(edit(t, ecJWK, "kty", `"RSA"`)),
		"short x":                    set(edit(t, edJWK, "x", `"AAAA"`)),
		"x with padding":             set(edit(t, edJWK, "x", `"`+edX+`="`)),
		"x with newline":             set(edit(t, edJWK, "x", `"`+edX[:4]+`\n`+edX[4:]+`"`)),
		"x in other bits":            set(edit(t, edJWK, "x", `"`+edX[:42]+"p"+`"`)),
		"no x":                       set(edit(t, edJWK, "x", "")),
		"small order":                set(edit(t, edJWK, "x", `"`+segment(strings.Repeat("\x00", 32))+`"`)),
		"point off the curve":        set(edit(t, ecJWK, "x", `"`+ecY+`"`)),
		"coordinates too long":       set(edit(t, ecJWK, "x", `"`+segment("\x00"+strings.Repeat("a", 32))+`"`)),
		"no y":                       set(edit(t, ecJWK, "y", "")),
		"2047 bits":                  set(edit(t, rsaJWK, "n", number(2047, true))),
		"8193 bits":                  set(edit(t, rsaJWK, "n", number(8193, true))),
		"even modulus":               set(edit(t, rsaJWK, "n", number(2048, false))),
		"modulus with zero octet":    set(edit(t, rsaJWK, "n", `"AN`+rsaN[2:]+`"`)),
		"guessable primes":           set(edit(t, rsaJWK, "n", guessable())),
		"exponent 1":                 set(edit(t, rsaJWK, "e", `"AQ"`)),
		"even exponent":              set(edit(t, rsaJWK, "e", `"AQAC"`)),
		"exponent of 32 bits":        set(edit(t, rsaJWK, "e", `"gAAAAQ"`)),
		"exponent of 5 bytes":        set(edit(t, rsaJWK, "e", `"AQAAAAE"`)),
		"exponent of 9 bytes":        set(edit(t, rsaJWK, "e", `"AQAAAAAAAQAB"`)),
		"small order, sign bit set":  set(edit(t, edJWK, "x", `"`+segment("\x01"+strings.Repeat("\x00", 30)+"\x80")+`"`)),
		"exponent with zero octet":   set(edit(t, rsaJWK, "e", `"AAEAAQ"`)),
		"no exponent":                set(edit(t, rsaJWK, "e", "")),
	} {
		if s, err := identity.ParseKeySet([]byte(text)); !errors.Is(err, identity.ErrInvalidKeySet) || s != nil {
			t.Errorf("%s: got %v, %v; want ErrInvalidKeySet", name, s, err)
		}
	}
	if s, err := identity.ParseKeySet([]byte(set(many[:64]...))); err != nil || s.Len() != 64 {
		t.Errorf("64 keys: %v", err)
	}
}

// guessable is a modulus of the form that the generator of CVE-2017-15361 makes: a power of 65537 modulo the product of
// the first primes.
func guessable() string {
	product := big.NewInt(2)
	for p := int64(3); p <= 167; p += 2 {
		if big.NewInt(p).ProbablyPrime(0) {
			product.Mul(product, big.NewInt(p))
		}
	}
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Div(n, product).Add(n, big.NewInt(1)).Mul(n, product)
	n.Add(n, new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), product))
	return `"` + segment(string(n.Bytes())) + `"`
}

func TestKeySetErrorsQuoteNothing(t *testing.T) {
	for _, jwk := range []string{
		edit(t, edJWK, "d", `"CANARY"`), `{"kty":"oct","k":"CANARY"}`, edit(t, edJWK, "x", `"CANARY"`), edit(t, rsaJWK, "p", `"CANARY"`), `{"kty":"OKP","CANARY":1,"canary":2}`,
	} {
		_, err := identity.ParseKeySet([]byte(`{"keys":[` + jwk + `]}`))
		if err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", jwk, err)
		}
	}
}

func TestKeySetMarshalsToWhatItWasParsedFrom(t *testing.T) {
	s := parseSet(t, rsaJWK, ecJWK, edJWK)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.ParseKeySet(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range s.KeyIDs() {
		pub, alg := s.Key(id)
		got, gotAlg := again.Key(id)
		if got == nil || gotAlg != alg || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(got) {
			t.Errorf("%s: got %v for %s; want %v for %s", id, got, gotAlg, pub, alg)
		}
	}
	own, err := keySet(t, testKey('a')).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"keys":[{"crv":"Ed25519","kty":"OKP","x":"` + segment(string(testKey('a').Public().(ed25519.PublicKey))) +
		`","kid":"` + newSigner(t, testKey('a')).KeyID() + `","alg":"EdDSA","use":"sig"}]}`
	if string(own) != want {
		t.Errorf("got %s; want %s", own, want)
	}
	if empty, err := keySet(t).MarshalJSON(); err != nil || string(empty) != `{"keys":[]}` {
		t.Errorf("the empty set is %s, %v", empty, err)
	}
}

func TestNewKeySetRefuses(t *testing.T) {
	pub := testKey('a').Public().(ed25519.PublicKey)
	many := make([]ed25519.PublicKey, 65)
	for i := range many {
		many[i] = testKey(byte(i)).Public().(ed25519.PublicKey)
	}
	for name, keys := range map[string][]ed25519.PublicKey{"short": {pub[:31]}, "twice": {pub, pub}, "nil": {nil}, "65": many} {
		if _, err := identity.NewKeySet(keys...); !errors.Is(err, identity.ErrInvalidKeySet) {
			t.Errorf("%s: got %v; want ErrInvalidKeySet", name, err)
		}
	}
}

func TestThumbprint(t *testing.T) {
	s := parseSet(t, rsaJWK, edJWK)
	for _, tt := range []struct{ from, kid, want string }{
		{"RFC 7638 section 3.1", "rsa", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", "ed", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		pub, _ := s.Key(tt.kid)
		if got, err := identity.Thumbprint(pub); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.from, got, err, tt.want)
		}
	}
	if _, err := identity.Thumbprint([]byte("symmetric")); !errors.Is(err, identity.ErrInvalidKeySet) {
		t.Errorf("thumbprint of bytes: %v", err)
	}
}
