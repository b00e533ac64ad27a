package identity_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// vector reads a file of the outside test vectors into v.
func vector(t *testing.T, name string, v any) {
	t.Helper()
	dir := os.Getenv("KEYHOLE_VECTORS")
	if dir == "" {
		t.Skipf("KEYHOLE_VECTORS does not name the folder of outside test vectors: %s skipped", name)
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// exceptions reads the vectors of one file whose stated result is not ours, with the reason.
func exceptions(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/expected-exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) != 3 {
			t.Fatalf("line %q: want FILE ID REASON", line)
		}
		if fields[0] == file {
			out[fields[1]] = fields[2]
		}
	}
	return out
}

// judge compares one answer with the vector's, minding exceptions; an exception that is none any more is an error too.
func judge(t *testing.T, except map[string]string, id json.Number, comment, result string, err error) {
	t.Helper()
	_, excepted := except[id.String()]
	delete(except, id.String())
	if agrees := (err == nil) == (result == "valid"); agrees == excepted {
		t.Errorf("%s (%s), %s, expected exception %v: got %v", id, comment, result, excepted, err)
	}
}

func nothingLeft(t *testing.T, except map[string]string) {
	t.Helper()
	for id, reason := range except {
		t.Errorf("expected exception %s (%s) did not occur", id, reason)
	}
}

type wycheproofJOSE struct {
	TestGroups []struct {
		Comment         string
		Public, Private json.RawMessage
		Tests           []struct {
			TcID    json.Number
			Comment string
			JWS     string
			Result  string
		}
	}
}

var errNotMeant = errors.New("the key is not meant to verify")

// Wycheproof's payloads are mostly not claims, so the layers below claims are called: with the algorithm that the key
// names, as if an issuer's rule allowed it. HMAC and PSS come in only here; see the next test.
func TestWycheproofSignatures(t *testing.T) {
	const file = "json_web_signature_test.json"
	var v wycheproofJOSE
	vector(t, "wycheproof/"+file, &v)
	except := exceptions(t, file)
	ran := 0
	for _, g := range v.TestGroups {
		pub, alg, err := wycheproofKey(t, g.Public, g.Private)
		for _, tt := range g.Tests {
			ran++
			got := err
			if got == nil {
				got = identity.VerifyJWS(tt.JWS, cmp.Or(alg, algOf(tt.JWS)), pub)
			}
			judge(t, except, tt.TcID, g.Comment+": "+tt.Comment, tt.Result, got)
		}
	}
	nothingLeft(t, except)
	if ran != 401 {
		t.Errorf("ran %d vectors; want 401", ran)
	}
}

// algOf reads alg for the keys that name none.
func algOf(jws string) string {
	header, _, _ := strings.Cut(jws, ".")
	text, _ := base64.RawURLEncoding.DecodeString(header)
	var h struct{ Alg string }
	_ = json.Unmarshal(text, &h)
	return h.Alg
}

// wycheproofKey gives the key and alg of a JWK. Symmetric ones are read here, since the package refuses them.
func wycheproofKey(t *testing.T, public, private json.RawMessage) (crypto.PublicKey, string, error) {
	t.Helper()
	text := public
	if text == nil {
		text = private
	}
	var k struct{ Kty, Alg, K string }
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	if k.Kty == "oct" {
		secret, err := base64.RawURLEncoding.DecodeString(k.K)
		return secret, k.Alg, err
	}
	pub, meant, err := identity.KeyMaterial(text)
	if err == nil && !meant {
		err = errNotMeant
	}
	return pub, k.Alg, err
}

// The same vectors through ParseKeySet, which enables the four algorithms alone: every token of another algorithm is
// refused, valid or not.
func TestWycheproofSignaturesThroughKeySets(t *testing.T) {
	var v wycheproofJOSE
	vector(t, "wycheproof/json_web_signature_test.json", &v)
	valid := map[string]int{}
	for _, g := range v.TestGroups {
		jwk := g.Public
		if jwk == nil {
			jwk = g.Private
		}
		for _, tt := range g.Tests {
			if verifyWithSet([]byte(`{"keys":[`+string(jwk)+`]}`), tt.JWS) == nil {
				valid[algOf(tt.JWS)]++
				if tt.Result != "valid" {
					t.Errorf("%s (%s): an invalid token was taken", tt.TcID, tt.Comment)
				}
			}
		}
	}
	if len(valid) != 2 || valid["RS256"] != 8 || valid["ES256"] != 2 {
		t.Errorf("took %v; want 8 of RS256, 2 of ES256 and no other", valid)
	}
}

// verifyWithSet verifies a JWS with the key of a set that its kid names and the algorithm of that key.
func verifyWithSet(jwks []byte, jws string) error {
	set, err := identity.ParseKeySet(jwks)
	if err != nil {
		return err
	}
	header, _, _ := strings.Cut(jws, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return err
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(text, &h); err != nil {
		return err
	}
	pub, alg := set.Key(h.Kid)
	if pub == nil {
		return identity.ErrUnknownKey
	}
	return identity.VerifyJWS(jws, alg, pub)
}

func TestWycheproofKeys(t *testing.T) {
	const file = "json_web_key_test.json"
	var v wycheproofJOSE
	vector(t, "wycheproof/"+file, &v)
	except := exceptions(t, file)
	ran := 0
	for _, g := range v.TestGroups {
		set := g.Public
		if set == nil {
			set = g.Private
		}
		for _, tt := range g.Tests {
			ran++
			judge(t, except, tt.TcID, g.Comment+": "+tt.Comment, tt.Result, verifyWithSet(set, tt.JWS))
		}
	}
	nothingLeft(t, except)
	if ran != 26 {
		t.Errorf("ran %d vectors; want 26", ran)
	}
}

func TestWycheproofEd25519(t *testing.T) {
	const file = "ed25519_test.json"
	var v struct {
		TestGroups []struct {
			PublicKey struct{ PK string }
			Tests     []struct {
				TcID         json.Number
				Comment, Msg string
				Sig, Result  string
			}
		}
	}
	vector(t, "wycheproof/"+file, &v)
	except := exceptions(t, file)
	ran := 0
	for _, g := range v.TestGroups {
		pub, err := hex.DecodeString(g.PublicKey.PK)
		if err != nil {
			t.Fatal(err)
		}
		_, keyErr := identity.NewKeySet(pub)
		for _, tt := range g.Tests {
			ran++
			msg, err := hex.DecodeString(tt.Msg)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := hex.DecodeString(tt.Sig)
			if err != nil {
				t.Fatal(err)
			}
			got := keyErr
			if got == nil {
				got = jwt.SigningMethodEdDSA.Verify(string(msg), sig, ed25519.PublicKey(pub))
			}
			judge(t, except, tt.TcID, tt.Comment, tt.Result, got)
		}
	}
	nothingLeft(t, except)
	if ran != 151 {
		t.Errorf("ran %d vectors; want 151", ran)
	}
}

// The RFC 8037 example, taken apart and made again.
func TestCookbookEd25519(t *testing.T) {
	var v struct {
		Input struct {
			Payload string
			Key     struct{ Kty, Use, Crv, X, D string }
		}
		Output struct{ Compact string }
	}
	vector(t, "jose-cookbook/curve25519/jws.json", &v)
	k := v.Input.Key
	pub, alg := parseSet(t, `{"kty":"`+k.Kty+`","use":"`+k.Use+`","crv":"`+k.Crv+`","x":"`+k.X+`","kid":"k"}`).Key("k")
	if err := identity.VerifyJWS(v.Output.Compact, alg, pub); err != nil {
		t.Error(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(k.D)
	if err != nil {
		t.Fatal(err)
	}
	if got := forge(ed25519.NewKeyFromSeed(seed), `{"alg":"EdDSA"}`, v.Input.Payload); got != v.Output.Compact {
		t.Errorf("got %s; want %s", got, v.Output.Compact)
	}
}

// The signatures and keys of RFC 7520.
func TestCookbookRFC7520(t *testing.T) {
	for _, tt := range []struct{ file, alg string }{
		{"4_1.rsa_v15_signature.json", "RS256"},
		{"4_2.rsa-pss_signature.json", "PS384"},
	} {
		var v struct {
			Input  struct{ Key map[string]any }
			Output struct{ Compact string }
		}
		vector(t, "jose-cookbook/jws/"+tt.file, &v)
		full, err := json.Marshal(v.Input.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := identity.ParseKeySet([]byte(`{"keys":[` + string(full) + `]}`)); !errors.Is(err, identity.ErrInvalidKeySet) {
			t.Errorf("%s: a set with a private key: %v", tt.file, err)
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			delete(v.Input.Key, private)
		}
		public, err := json.Marshal(v.Input.Key)
		if err != nil {
			t.Fatal(err)
		}
		pub, meant, err := identity.KeyMaterial(public)
		if err != nil || !meant {
			t.Fatalf("%s: key: %v, %v", tt.file, meant, err)
		}
		if err := identity.VerifyJWS(v.Output.Compact, tt.alg, pub); err != nil {
			t.Errorf("%s: %v", tt.file, err)
		}
		if err := verifyWithSet([]byte(`{"keys":[`+string(public)+`]}`), v.Output.Compact); (err == nil) != (tt.alg == "RS256") {
			t.Errorf("%s through a key set: %v", tt.file, err)
		}
	}
	for file, want := range map[string]int{
		"3_1.ec_public_key.json": 0, "3_2.ec_private_key.json": -1, "3_3.rsa_public_key.json": 1,
		"3_4.rsa_private_key.json": -1, "3_5.symmetric_key_mac_computation.json": -1, "3_6.symmetric_key_encryption.json": -1,
	} {
		var jwk json.RawMessage
		vector(t, "jose-cookbook/jwk/"+file, &jwk)
		s, err := identity.ParseKeySet([]byte(`{"keys":[` + string(jwk) + `]}`))
		if got := lenOr(s, err); got != want {
			t.Errorf("%s: got %d (%v); want %d", file, got, err, want)
		}
	}
}

// lenOr is the number of keys, or -1 for a set that is refused.
func lenOr(s *identity.KeySet, err error) int {
	if err != nil {
		return -1
	}
	return s.Len()
}

// Unencoded payloads (RFC 7797) change what the signature covers; crit says so, and must be obeyed or refused.
func TestCookbookUnencodedPayloadIsRefused(t *testing.T) {
	var v struct {
		Input  struct{ Key struct{ K string } }
		Output struct{ Compact string }
	}
	vector(t, "jose-cookbook/rfc7797/hmac-sha2_b64_false.json", &v)
	secret, err := base64.RawURLEncoding.DecodeString(v.Input.Key.K)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(v.Output.Compact, ".")
	// The same header over an encoded payload, with a good signature: only crit is wrong with it.
	input := header + "." + segment("This is the payload string!")
	sig, err := jwt.SigningMethodHS256.Sign(input, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{v.Output.Compact, input + "." + segment(string(sig))} {
		if err := identity.VerifyJWS(token, "HS256", secret); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("got %v; want ErrInvalid", err)
		}
	}
	without := strings.Replace(input, header, segment(`{"alg":"HS256"}`), 1)
	if sig, err = jwt.SigningMethodHS256.Sign(without, secret); err != nil {
		t.Fatal(err)
	}
	if err := identity.VerifyJWS(without+"."+segment(string(sig)), "HS256", bytes.Clone(secret)); err != nil {
		t.Errorf("without crit: %v", err)
	}
}
