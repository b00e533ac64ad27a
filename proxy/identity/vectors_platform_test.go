package identity_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// The signatures of ES256 and ES384 alone, each point through a JWK Set.
func TestWycheproofECDSA(t *testing.T) {
	for _, c := range []struct {
		file, crv, alg string
		half, want     int
	}{
		{"ecdsa_secp256r1_sha256_p1363_test.json", "P-256", "ES256", 32, 262},
		{"ecdsa_secp384r1_sha384_p1363_test.json", "P-384", "ES384", 48, 280},
	} {
		var v struct {
			TestGroups []struct {
				PublicKey struct{ Uncompressed string }
				Tests     []struct {
					TcID                      json.Number
					Comment, Msg, Sig, Result string
				}
			}
		}
		vector(t, "wycheproof/"+c.file, &v)
		except := exceptions(t, c.file)
		ran := 0
		for _, g := range v.TestGroups {
			point := unhex(t, g.PublicKey.Uncompressed)
			pub, alg := parseSet(t, fmt.Sprintf(`{"kty":"EC","crv":%q,"kid":"k","x":%q,"y":%q}`, c.crv, segment(string(point[1:1+c.half])), segment(string(point[1+c.half:])))).Key("k")
			if alg != c.alg {
				t.Fatalf("got a key for %q; want %q", alg, c.alg)
			}
			for _, tt := range g.Tests {
				ran++
				judge(t, except, tt.TcID, tt.Comment, tt.Result, jwt.GetSigningMethod(alg).Verify(string(unhex(t, tt.Msg)), unhex(t, tt.Sig), pub))
			}
		}
		nothingLeft(t, except)
		if ran != c.want {
			t.Errorf("%s: ran %d vectors; want %d", c.file, ran, c.want)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Keys, sets of keys and tokens mixed up: what is invalid is never taken, and what is encrypted is no token.
func TestWycheproofCrypto(t *testing.T) {
	var v struct {
		TestGroups []struct {
			Public, Private json.RawMessage
			Tests           []struct {
				TcID            json.Number
				Comment, Result string
				JWS, JWE        json.RawMessage // a string, or an object where it is serialized as JSON
			}
		}
	}
	vector(t, "wycheproof/json_web_crypto_test.json", &v)
	ran, taken := 0, 0
	for _, g := range v.TestGroups {
		set := g.Public
		if set == nil {
			set = g.Private
		}
		if !strings.Contains(string(set), `"keys"`) {
			set = []byte(`{"keys":[` + string(set) + `]}`)
		}
		for _, tt := range g.Tests {
			ran++
			if tt.JWE != nil {
				if _, err := identity.ParseUnverified(unquoted(tt.JWE)); !errors.Is(err, identity.ErrInvalid) {
					t.Errorf("%s (%s): got %v; want ErrInvalid", tt.TcID, tt.Comment, err)
				}
			} else if verifyWithSet(set, unquoted(tt.JWS)) == nil {
				taken++
				if tt.Result != "valid" {
					t.Errorf("%s (%s): an invalid token was taken", tt.TcID, tt.Comment)
				}
			}
		}
	}
	if ran != 83 || taken != 2 {
		t.Errorf("ran %d vectors and took %d; want 83, and the two that are valid and of ES256 or RS256", ran, taken)
	}
}

// unquoted is the text of a JSON string, and any other JSON as it is.
func unquoted(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}

// What else RFC 7520 shows is refused: other algorithms, detached payloads, JSON instead of the compact form, encryption.
func TestCookbookRefusesWhatIsNoToken(t *testing.T) {
	seen := 0
	for _, dir := range []string{"jws", "jwe"} {
		files, err := filepath.Glob(filepath.Join(os.Getenv("KEYHOLE_VECTORS"), "jose-cookbook", dir, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Skip("KEYHOLE_VECTORS does not name the folder of outside test vectors: JOSE cookbook skipped")
		}
		for _, file := range files {
			var v struct {
				Output struct {
					Compact       string
					JSON          json.RawMessage
					JSONFlat      json.RawMessage `json:"json_flat"`
					JSONFlattened json.RawMessage `json:"json_flattened"`
				}
			}
			vector(t, filepath.Join("jose-cookbook", dir, filepath.Base(file)), &v)
			for _, form := range []string{v.Output.Compact, string(v.Output.JSON), string(v.Output.JSONFlat), string(v.Output.JSONFlattened)} {
				if form == "" {
					continue
				}
				seen++
				// Of the compact ones only the signature is right: the payload is a sentence, not claims.
				if _, err := identity.ParseUnverified(form); !errors.Is(err, identity.ErrInvalid) {
					t.Errorf("%s: got %v; want ErrInvalid", filepath.Base(file), err)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("saw %d forms; want more", seen)
	}
}

// Every document of the suite as one claim of a good token.
func TestJSONTestSuiteInClaims(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("KEYHOLE_VECTORS"), "jsontestsuite", "test_parsing", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("KEYHOLE_VECTORS does not name the folder of outside test vectors: JSONTestSuite skipped")
	}
	key := platformKeys()["EdDSA"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	except := exceptions(t, "jsontestsuite")
	header, payload := jsonText(t, key.Header()), strings.TrimSuffix(jsonText(t, platformClaims()), "}")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		_, err = v.Verify(context.Background(), key.SignText(header, payload+`,"x":`+string(text)+"}"))
		if err != nil && !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		_, excepted := except[name]
		delete(except, name)
		if good := err == nil; name[0] == 'y' && good == excepted || name[0] == 'n' && good != excepted {
			t.Errorf("%s, expected exception %v: got %v", name, excepted, err)
		}
	}
	nothingLeft(t, except)
}
