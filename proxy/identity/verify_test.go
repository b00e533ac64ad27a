package identity_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

func TestVerifyGivesThePrincipalThatWasSigned(t *testing.T) {
	key := testKey('a')
	claims := goodClaims(t)
	v := newVerifier(t, newClock(), keySet(t, key))
	want := &identity.Verified{
		Principal: policy.Principal{
			Trust: "vercel-web", Issuer: "https://oidc.vercel.com/acme", Subject: "project:prj_1", ClientID: "web",
			TokenID: claims.TokenID, KeyID: newSigner(t, key).KeyID(), Parents: claims.Parents, Cnf: claims.Cnf,
			AuthenticatedBy: "access_token", Base: claims.Base, Scopes: claims.Scopes, Claims: claims.Claims,
			Expires: claims.Expires,
		},
		IssuedAt: start, NotBefore: start, OriginTokenID: "tok_1",
	}
	token := sign(t, key, claims)
	for _, how := range []string{"first", "remembered"} {
		got, err := v.Verify(context.Background(), token)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v; want %+v", how, got, want)
		}
	}
}

func TestVerifyTakesATokenWithoutItsOptionalClaims(t *testing.T) {
	key := testKey('a')
	c := goodClaims(t)
	c.Base, c.OriginTokenID, c.Parents, c.Claims, c.Cnf = goodClaims(t).Base, "", nil, nil, ""
	header, payload := parts(t, sign(t, key, c))
	payload = edit(t, payload, "base", "")
	payload = edit(t, payload, "unknown", `{"ignored":[1.5]}`)
	got, err := newVerifier(t, newClock(), keySet(t, key)).Verify(context.Background(), forge(key, header, payload))
	if err != nil {
		t.Fatal(err)
	}
	if pr := got.Principal; !pr.Base.IsZero() || pr.Parents != nil || pr.Cnf != "" || pr.Claims != nil {
		t.Errorf("got %+v; want no base, parents, cnf or claims", pr)
	}
}

func TestVerifyRefusesClaims(t *testing.T) {
	key := testKey('a')
	header, good := parts(t, sign(t, key, goodClaims(t)))
	v := newVerifier(t, newClock(), keySet(t, key))
	iat := start.Unix()
	for _, tt := range []struct{ name, claim, value string }{
		{"no iss", "iss", ""},
		{"another iss", "iss", `"https://keyhole.example/"`},
		{"iss array", "iss", `["https://keyhole.example"]`},
		{"no aud", "aud", ""},
		{"another aud", "aud", `"https://keyhole.example"`},
		{"aud array of one", "aud", `["https://keyhole.example/edge"]`},
		{"aud array of two", "aud", `["https://keyhole.example/edge","https://other.example"]`},
		{"no sub", "sub", ""},
		{"empty sub", "sub", `""`},
		{"sub number", "sub", "1"},
		{"long sub", "sub", `"` + strings.Repeat("s", 513) + `"`},
		{"control in sub", "sub", `"a\u0000b"`},
		{"C1 control in sub", "sub", `"a\u0085b"`},
		{"no client_id", "client_id", ""},
		{"no jti", "jti", ""},
		{"jti with space", "jti", `"a b"`},
		{"jti not ASCII", "jti", `"é"`},
		{"long jti", "jti", `"` + strings.Repeat("j", 129) + `"`},
		{"no exp", "exp", ""},
		{"exp string", "exp", fmt.Sprintf(`"%d"`, iat+900)},
		{"exp float", "exp", fmt.Sprintf(`%d.0`, iat+900)},
		{"exp exponent", "exp", `1.7637192e9`},
		{"exp null", "exp", `null`},
		{"exp overflow", "exp", `9223372036854775808`},
		{"exp year 10000", "exp", `253402300800`},
		{"exp negative", "exp", `-1`},
		{"exp = iat", "exp", fmt.Sprint(iat)},
		{"exp too far", "exp", fmt.Sprint(iat + 3601)},
		{"no iat", "iat", ""},
		{"iat float", "iat", fmt.Sprintf(`%d.5`, iat)},
		{"iat negative", "iat", `-1`},
		{"iat minus zero", "iat", `-0`},
		{"nbf negative", "nbf", `-1`},
		{"nbf zero", "nbf", `0`},
		{"iat in the future", "iat", fmt.Sprint(iat + 31)},
		{"no nbf", "nbf", ""},
		{"nbf string", "nbf", fmt.Sprintf(`"%d"`, iat)},
		{"nbf in the future", "nbf", fmt.Sprint(iat + 31)},
		{"nbf after exp", "nbf", fmt.Sprint(iat + 901)},
		{"no scope", "scope", ""},
		{"empty scope", "scope", `""`},
		{"scope array", "scope", `["read:web/**"]`},
		{"scope without pattern", "scope", `"read"`},
		{"one bad scope of two", "scope", `"read:web/** fly:web/**"`},
		{"two spaces", "scope", `"read:web/**  list:web/**"`},
		{"trailing space", "scope", `"read:web/** "`},
		{"** first", "scope", `"read:**/web"`},
		{"33 scopes", "scope", `"` + strings.TrimSuffix(strings.Repeat("read:a ", 33), " ") + `"`},
		{"base with dots", "base", `"web/../x"`},
		{"empty base", "base", `""`},
		{"base number", "base", `1`},
		{"base null", "base", `null`},
		{"no kh", "kh", ""},
		{"kh string", "kh", `"local"`},
		{"kh without trust", "kh", `{"origin_iss":"x"}`},
		{"kh without origin_iss", "kh", `{"trust":"local"}`},
		{"kh with a restriction not known here", "kh", `{"trust":"local","origin_iss":"x","only_on":"tuesday"}`},
		{"5 parents", "kh", `{"trust":"local","origin_iss":"x","parents":["a","b","c","d","e"]}`},
		{"empty parent", "kh", `{"trust":"local","origin_iss":"x","parents":[""]}`},
		{"parents string", "kh", `{"trust":"local","origin_iss":"x","parents":"a"}`},
		{"claims list", "kh", `{"trust":"local","origin_iss":"x","claims":["a"]}`},
		{"no claims", "kh", `{"trust":"local","origin_iss":"x","claims":{}}`},
		{"claim number", "kh", `{"trust":"local","origin_iss":"x","claims":{"a":1}}`},
		{"empty claim", "kh", `{"trust":"local","origin_iss":"x","claims":{"a":""}}`},
		{"claim without name", "kh", `{"trust":"local","origin_iss":"x","claims":{"":"a"}}`},
		{"claim on two lines", "kh", `{"trust":"local","origin_iss":"x","claims":{"a":"b\nc"}}`},
		{"claims that differ in case", "kh", `{"trust":"local","origin_iss":"x","claims":{"a":"b","A":"c"}}`},
		{"cnf string", "cnf", `"x"`},
		{"cnf jwk", "cnf", `{"jwk":{}}`},
		{"cnf null", "cnf", `null`},
		{"cnf short", "cnf", `{"jkt":"AAAA"}`},
		{"cnf of two", "cnf", `{"jkt":"` + strings.Repeat("A", 43) + `","x5t#S256":"x"}`},
		{"too deep", "x", strings.Repeat("[", 8) + strings.Repeat("]", 8)},
		{"too many values", "x", "[" + strings.TrimSuffix(strings.Repeat("0,", 1024), ",") + "]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), forge(key, header, edit(t, good, tt.claim, tt.value)))
			if !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("got %v; want ErrInvalid", err)
			}
		})
	}
	if _, err := v.Verify(context.Background(), forge(key, header, good)); err != nil {
		t.Errorf("the token that the others are made from is refused: %v", err)
	}
	if got := v.Remembered(); got != 1 {
		t.Errorf("%d verifications remembered; want the good one alone", got)
	}
}

func TestVerifyTakesTheLargestValues(t *testing.T) {
	key := testKey('a')
	header, good := parts(t, sign(t, key, goodClaims(t)))
	v := newVerifier(t, newClock(), keySet(t, key))
	iat := start.Unix()
	for _, tt := range []struct{ name, claim, value string }{
		{"life of an hour", "exp", fmt.Sprint(iat + 3600)},
		{"iat within the leeway", "iat", fmt.Sprint(iat + 30)},
		{"nbf within the leeway", "nbf", fmt.Sprint(iat + 30)},
		{"old nbf", "nbf", "1"},
		{"sub of 512 bytes", "sub", `"` + strings.Repeat("s", 512) + `"`},
		{"32 scopes", "scope", `"` + strings.TrimSuffix(strings.Repeat("read:a ", 32), " ") + `"`},
		{"depth of 8", "x", strings.Repeat("[", 7) + strings.Repeat("]", 7)},
		{"4 parents", "kh", `{"trust":"local","origin_iss":"x","parents":["a","b","c","d"]}`},
	} {
		if _, err := v.Verify(context.Background(), forge(key, header, edit(t, good, tt.claim, tt.value))); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestVerifyRefusesHeaders(t *testing.T) {
	key := testKey('a')
	good, payload := parts(t, sign(t, key, goodClaims(t)))
	v := newVerifier(t, newClock(), keySet(t, key))
	for _, tt := range []struct {
		name, param, value string
		want               error
	}{
		{"no alg", "alg", "", identity.ErrInvalid},
		{"alg none", "alg", `"none"`, identity.ErrInvalid},
		{"alg HS256", "alg", `"HS256"`, identity.ErrInvalid},
		{"alg PS256", "alg", `"PS256"`, identity.ErrInvalid},
		{"alg RS256", "alg", `"RS256"`, identity.ErrInvalid},
		{"alg in other case", "alg", `"eddsa"`, identity.ErrInvalid},
		{"alg Ed25519", "alg", `"Ed25519"`, identity.ErrInvalid},
		{"alg array", "alg", `["EdDSA"]`, identity.ErrInvalid},
		{"no typ", "typ", "", identity.ErrInvalid},
		{"typ JWT", "typ", `"JWT"`, identity.ErrInvalid},
		{"typ in other case", "typ", `"AT+JWT"`, identity.ErrInvalid},
		{"typ as media type", "typ", `"application/at+jwt"`, identity.ErrInvalid},
		{"typ null", "typ", `null`, identity.ErrInvalid},
		{"no kid", "kid", "", identity.ErrInvalid},
		{"kid number", "kid", "7", identity.ErrInvalid},
		{"another kid", "kid", `"other"`, identity.ErrUnknownKey},
		{"kid as path", "kid", `"../../dev/null"`, identity.ErrUnknownKey},
		{"x5t", "x5t", `"AAAA"`, identity.ErrInvalid},
		{"crit", "crit", `["b64"]`, identity.ErrInvalid},
		{"crit string", "crit", `"exp"`, identity.ErrInvalid},
		{"empty crit", "crit", `[]`, identity.ErrInvalid},
		{"b64", "b64", `true`, identity.ErrInvalid},
		{"jku", "jku", `"https://evil.example/jwks"`, identity.ErrInvalid},
		{"jwk", "jwk", `{"kty":"OKP"}`, identity.ErrInvalid},
		{"x5u", "x5u", `"https://evil.example/x"`, identity.ErrInvalid},
		{"x5c", "x5c", `["AAAA"]`, identity.ErrInvalid},
		{"zip", "zip", `"DEF"`, identity.ErrInvalid},
		{"cty", "cty", `"JWT"`, identity.ErrInvalid},
		{"KID besides kid", "KID", `"x"`, identity.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), forge(key, edit(t, good, tt.param, tt.value), payload))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v; want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyRefusesWhatIsNotAToken(t *testing.T) {
	key := testKey('a')
	token := sign(t, key, goodClaims(t))
	header, payload := parts(t, token)
	p := strings.Split(token, ".")
	v := newVerifier(t, newClock(), keySet(t, key))
	last := "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_QA"
	for _, tt := range []struct{ name, token string }{
		{"empty", ""},
		{"dots", ".."},
		{"one dot", p[0] + "." + p[1]},
		{"three dots", token + "."},
		{"project token", "kh_production_000000000000000000000000000000000000"},
		{"project token made of three parts", "kh_" + token},
		{"space", " " + token},
		{"newline", token + "\n"},
		{"newline inside", token[:20] + "\r\n" + token[20:]},
		{"padding", token + "="},
		{"standard base64", p[0] + "." + p[1] + ".++//"},
		{"other bits at the end", token[:len(token)-1] + string(other(token[len(token)-1]))},
		{"another signature", p[0] + "." + p[1] + "." + last},
		{"no signature", p[0] + "." + p[1] + "."},
		{"short signature", p[0] + "." + p[1] + "." + p[2][:80]},
		{"another key", sign(t, testKey('b'), goodClaims(t))},
		{"signed by another key under the kid", forge(testKey('b'), header, payload)},
		{"header is no object", forge(key, `["alg"]`, payload)},
		{"claims are no object", forge(key, header, `"x"`)},
		{"two documents", forge(key, header, payload+"{}")},
		{"byte order mark", forge(key, header, "\xef\xbb\xbf"+payload)},
		{"not UTF-8", forge(key, header, strings.Replace(payload, "project", "proj\xffect", 1))},
		{"deep header", forge(key, strings.Repeat(`{"alg":`, 9)+"1"+strings.Repeat("}", 9), payload)},
		{"8193 bytes", strings.Repeat("a", 4096) + "." + strings.Repeat("a", 4094) + ".a"},
		{"JWE", "a.b.c.d.e"},
		{"JSON serialization", `{"payload":"e30"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), tt.token)
			want := identity.ErrInvalid
			if tt.name == "another key" {
				want = identity.ErrUnknownKey
			}
			if !errors.Is(err, want) {
				t.Errorf("got %v; want %v", err, want)
			}
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Errorf("the good token is refused afterwards: %v", err)
			}
		})
	}
}

// other is another base64url character with the same upper four bits: a spelling that decodes to the same bytes.
func other(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

func TestVerifyHoldsTimesAtEveryUse(t *testing.T) {
	key := testKey('a')
	c := newClock()
	v := newVerifier(t, c, keySet(t, key))
	claims := goodClaims(t)
	claims.Expires = start.Add(40 * time.Second)
	token := sign(t, key, claims)
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{
		{0, nil},
		{59 * time.Second, nil},
		{69 * time.Second, nil},
		{70 * time.Second, identity.ErrExpired}, // exp + leeway
		{24 * time.Hour, identity.ErrExpired},
		{-30 * time.Second, nil}, // the clock was put back
		{-31 * time.Second, identity.ErrInvalid},
	} {
		c.Set(start.Add(tt.after))
		if _, err := v.Verify(context.Background(), token); !errors.Is(err, tt.want) {
			t.Errorf("after %v: got %v; want %v", tt.after, err, tt.want)
		}
		if _, err := v.VerifyUncached(token); !errors.Is(err, tt.want) {
			t.Errorf("after %v, not remembered: got %v; want %v", tt.after, err, tt.want)
		}
	}
}

func TestErrorsGiveTheReason(t *testing.T) {
	key := testKey('a')
	header, good := parts(t, sign(t, key, goodClaims(t)))
	v := newVerifier(t, newClock(), keySet(t, key))
	for _, tt := range []struct{ claim, value, want string }{
		{"nbf", fmt.Sprint(start.Unix() + 31), "nbf is in the future"},
		{"iat", fmt.Sprint(start.Unix() + 31), "iat is in the future"},
		{"iss", `"https://elsewhere.example"`, "no trusted issuer"},
		{"aud", `"https://elsewhere.example"`, "another service"},
		{"exp", `1e9`, "exp is absent or not a whole number"},
		{"exp", `253402300800`, "exp is absent or not a whole number"},
		{"scope", `"x"`, "scope is malformed"},
	} {
		_, err := v.Verify(context.Background(), forge(key, header, edit(t, good, tt.claim, tt.value)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: got %v; want it to say %q", tt.claim, tt.value, err, tt.want)
		}
	}
}

func TestParseUnverifiedHoldsTheSize(t *testing.T) {
	at := segment(`{"alg":"EdDSA"}`) + "." + segment(`{"iss":"x","pad":"`+strings.Repeat("p", 6000)+`"}`) + "."
	at += strings.Repeat("A", identity.MaxTokenBytes-len(at))
	u, err := identity.ParseUnverified(at)
	if err != nil || u.UnsafeIssuer != "x" || u.UnsafeAlgorithm != "EdDSA" {
		t.Fatalf("8 KiB: got %+v, %v", u, err)
	}
	if _, err := identity.ParseUnverified(at + "AAAA"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("over 8 KiB: got %v; want ErrInvalid", err)
	}
}

func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	key := testKey('a')
	header, good := parts(t, sign(t, key, goodClaims(t)))
	v := newVerifier(t, newClock(), keySet(t, key))
	for _, name := range []string{"iss", "aud", "sub", "scope", "base", "jti", "exp", "kh", "cnf", "client_id"} {
		for _, value := range []string{`"CANARY:x/**"`, `"CANARY\n"`, `{"CANARY":"CANARY"}`, `["CANARY"]`} {
			_, err := v.Verify(context.Background(), forge(key, header, edit(t, good, name, value)))
			if err != nil && strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
		if _, err := v.Verify(context.Background(), forge(key, edit(t, header, "kid", `"CANARY"`), good)); strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("kid: %v", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := identity.Config{Issuer: issuer, Audience: audience, Keys: keySet(t, testKey('a'))}
	if _, err := identity.New(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*identity.Config)
	}{
		{"no issuer", func(c *identity.Config) { c.Issuer = "" }},
		{"no audience", func(c *identity.Config) { c.Audience = "" }},
		{"no keys", func(c *identity.Config) { c.Keys = nil }},
		{"negative life", func(c *identity.Config) { c.MaxTTL = -time.Second }},
		{"life below a second", func(c *identity.Config) { c.MaxTTL = time.Millisecond }},
		{"life over an hour", func(c *identity.Config) { c.MaxTTL = time.Hour + 1 }},
		{"negative entries", func(c *identity.Config) { c.CacheEntries = -1 }},
	} {
		c := good
		tt.edit(&c)
		if v, err := identity.New(c); err == nil || v != nil {
			t.Errorf("%s: got %v, %v; want an error", tt.name, v, err)
		}
	}
}

func TestVerifyHoldsTheConfiguredLife(t *testing.T) {
	key := testKey('a')
	v, err := identity.New(identity.Config{
		Issuer: issuer, Audience: audience, Keys: keySet(t, key), MaxTTL: 5 * time.Minute, Wall: newClock().Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		life time.Duration
		want error
	}{{5 * time.Minute, nil}, {5*time.Minute + time.Second, identity.ErrInvalid}} {
		c := goodClaims(t)
		c.Expires = start.Add(tt.life)
		if _, err := v.Verify(context.Background(), sign(t, key, c)); !errors.Is(err, tt.want) {
			t.Errorf("life %v: got %v; want %v", tt.life, err, tt.want)
		}
	}
}
