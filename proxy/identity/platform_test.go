package identity_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const (
	platform = "https://tokens.platform.example"
	another  = "https://tokens.another.example"
)

// platformKeys are one key of each algorithm, made once.
var platformKeys = sync.OnceValue(func() map[string]*oidcemu.Key {
	out := map[string]*oidcemu.Key{}
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		out[alg] = oidcemu.NewKey(alg, "platform-"+strings.ToLower(alg))
	}
	return out
})

// source is keys that a test replaces.
type source struct {
	set atomic.Pointer[identity.KeySet]
	err atomic.Pointer[error]
}

func newSource(tb testing.TB, keys ...*oidcemu.Key) *source {
	tb.Helper()
	s := &source{}
	s.publish(tb, keys...)
	return s
}

func (s *source) publish(tb testing.TB, keys ...*oidcemu.Key) {
	tb.Helper()
	set, err := identity.ParseKeySet(oidcemu.JWKS(keys...))
	if err != nil {
		tb.Fatal(err)
	}
	s.set.Store(set)
}

func (s *source) fail(err error) { s.err.Store(&err) }

func (s *source) Keys(context.Context, string) (*identity.KeySet, error) {
	if err := s.err.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return s.set.Load(), nil
}

func (s *source) Has(kid string) bool { return s.set.Load().Has(kid) }

func allKeys() []*oidcemu.Key {
	k := platformKeys()
	return []*oidcemu.Key{k["RS256"], k["ES256"], k["ES384"], k["EdDSA"]}
}

func rule(edits ...func(*trust.Rule)) trust.Rule {
	r := trust.Rule{
		Name: "web", Issuer: platform, JWKSURI: platform + "/jwks", Algorithms: []string{"RS256", "ES256", "ES384", "EdDSA"},
		Audiences: []string{audience}, Require: map[string][]string{"project_id": {"prj_1"}},
		Map: trust.Map{Base: "web/production", Scopes: []string{"read:web/production/*"}, Labels: map[string]string{"team": "payments"}},
	}
	for _, e := range edits {
		e(&r)
	}
	return r
}

func ruleSet(tb testing.TB, rules ...trust.Rule) *trust.Set {
	tb.Helper()
	s, err := trust.New(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// platformVerifier takes our own tokens by testKey('a'), and those of the rules by keys from sources.
func platformVerifier(tb testing.TB, c *clock, sources map[string]identity.KeySource, rules ...trust.Rule) *identity.Verifier {
	tb.Helper()
	v, err := identity.New(identity.Config{
		Issuer: issuer, Audience: audience, Keys: keySet(tb, testKey('a')), Wall: c.Now, Trust: ruleSet(tb, rules...), Sources: sources,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func platformClaims() map[string]any {
	return map[string]any{
		"iss": platform, "sub": "project:web", "aud": audience, "project_id": "prj_1", "jti": "tok-1",
		"iat": start.Unix(), "nbf": start.Unix(), "exp": start.Add(10 * time.Minute).Unix(),
	}
}

// with returns the claims with one changed, or removed where value is nil.
func with(claims map[string]any, name string, value any) map[string]any {
	out := maps.Clone(claims)
	if value == nil {
		delete(out, name)
	} else {
		out[name] = value
	}
	return out
}

func jsonText(tb testing.TB, v any) string {
	tb.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

func TestPlatformTokensBecomeWhatTheRuleSays(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	for alg, key := range platformKeys() {
		token := key.Sign(platformClaims())
		first := verify(t, v, token)
		pr := first.Principal
		team, _ := policy.Lookup(pr.Claims, "labels.team")
		got := []any{pr.Trust, pr.Issuer, pr.Subject, pr.ClientID, pr.TokenID, pr.KeyID, pr.AuthenticatedBy, pr.Base.String(), pr.Scopes.String(), team, pr.Expires, first.IssuedAt, first.NotBefore}
		want := []any{"web", platform, "project:web", "", "tok-1", key.ID, "oidc", "web/production", "read:web/production/*", "payments", start.Add(10 * time.Minute), start, start}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v; want %v", alg, got, want)
		}
		if verify(t, v, token) != first {
			t.Errorf("%s: the verification was not remembered", alg)
		}
	}
}

func TestPlatformTokenWithoutJTIIsNamedByItsDigest(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	token := platformKeys()["EdDSA"].Sign(with(platformClaims(), "jti", nil))
	want := idOf(token)
	for range 2 {
		if got := verify(t, v, token).Principal.TokenID; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}

func TestPlatformTokenClaims(t *testing.T) {
	key := platformKeys()["ES256"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	iat := start.Unix()
	for _, tt := range []struct {
		name, claim string
		value       any
		want        error
	}{
		{"no nbf", "nbf", nil, nil},
		{"nbf before iat", "nbf", iat - 600, nil},
		{"nbf in the future", "nbf", iat + 31, identity.ErrInvalid},
		{"nbf fraction", "nbf", 1.5, identity.ErrInvalid},
		{"nbf null", "nbf", json.RawMessage("null"), identity.ErrInvalid},
		{"nbf after exp", "nbf", iat + 601, identity.ErrInvalid},
		{"no exp", "exp", nil, identity.ErrInvalid},
		{"exp string", "exp", fmt.Sprint(iat + 600), identity.ErrInvalid},
		{"exp exponent", "exp", json.RawMessage("1.7637e9"), identity.ErrInvalid},
		{"exp is iat", "exp", iat, identity.ErrInvalid},
		{"expired", "exp", iat - 1, identity.ErrInvalid}, // before iat
		{"life of a day", "exp", iat + 86400, nil},
		{"life over a day", "exp", iat + 86401, identity.ErrInvalid},
		{"life longer than a Duration", "exp", int64(253402300799), identity.ErrInvalid},
		{"life that overflows to a third of a second", "exp", iat + 18446744074, identity.ErrInvalid},
		{"no iat", "iat", nil, identity.ErrInvalid},
		{"iat in the future", "iat", iat + 31, identity.ErrInvalid},
		{"iat within the leeway", "iat", iat + 30, nil},
		{"no sub", "sub", nil, identity.ErrInvalid},
		{"sub number", "sub", 7, identity.ErrInvalid},
		{"long sub", "sub", strings.Repeat("s", 513), identity.ErrInvalid},
		{"no aud", "aud", nil, identity.ErrInvalid},
		{"another aud", "aud", "https://elsewhere.example", identity.ErrInvalid},
		{"aud with a slash more", "aud", audience + "/", identity.ErrInvalid},
		{"aud in other case", "aud", strings.ToUpper(audience), identity.ErrInvalid},
		{"aud of one in a list", "aud", []string{audience}, nil},
		{"aud of two", "aud", []string{audience, "https://elsewhere.example"}, identity.ErrInvalid},
		{"aud of two, ours last", "aud", []string{"https://elsewhere.example", audience}, identity.ErrInvalid},
		{"aud of none", "aud", []string{}, identity.ErrInvalid},
		{"aud nested", "aud", [][]string{{audience}}, identity.ErrInvalid},
		{"aud object", "aud", map[string]any{audience: audience}, identity.ErrInvalid},
		{"jti empty", "jti", "", identity.ErrInvalid},
		{"jti number", "jti", 7, identity.ErrInvalid},
		{"jti null", "jti", json.RawMessage("null"), identity.ErrInvalid},
		{"jti with space", "jti", "a b", identity.ErrInvalid},
		{"long jti", "jti", strings.Repeat("j", 129), identity.ErrInvalid},
		{"cnf", "cnf", map[string]any{"jkt": strings.Repeat("A", 43)}, identity.ErrInvalid},
		{"another project", "project_id", "prj_2", identity.ErrInvalid},
		{"project in a list", "project_id", []string{"prj_1"}, identity.ErrInvalid},
		{"no project", "project_id", nil, identity.ErrInvalid},
		{"AUD besides aud", "AUD", "https://elsewhere.example", identity.ErrInvalid},
		{"PROJECT_ID besides project_id", "PROJECT_ID", "prj_1", identity.ErrInvalid},
		{"scope of its own", "scope", "write:**", nil},
		{"kh of its own", "kh", map[string]any{"trust": "local"}, nil},
		{"iss with a slash more", "iss", platform + "/", identity.ErrInvalid},
		{"iss in other case", "iss", strings.ToUpper(platform), identity.ErrInvalid},
		{"iss with a port", "iss", platform + ":443", identity.ErrInvalid},
		{"iss array", "iss", []string{platform}, identity.ErrInvalid},
		{"no iss", "iss", nil, identity.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := v.Verify(context.Background(), key.Sign(with(platformClaims(), tt.claim, tt.value)))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v; want %v", err, tt.want)
			}
			if err == nil && (got.Principal.Trust != "web" || got.Principal.Scopes.String() != "read:web/production/*") {
				t.Errorf("got %+v", got.Principal)
			}
		})
	}
	if _, err := v.Verify(context.Background(), key.Sign(platformClaims())); err != nil {
		t.Errorf("the token that the others are made from is refused: %v", err)
	}
}

// Within the leeway of both, a token may be neither too early nor expired, and still have no time at all.
func TestPlatformTokenThatEndsBeforeItBegins(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	claims := with(with(platformClaims(), "exp", start.Unix()+10), "nbf", start.Unix()+10)
	if _, err := v.Verify(context.Background(), platformKeys()["EdDSA"].Sign(claims)); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %v; want ErrInvalid", err)
	}
	verify(t, v, platformKeys()["EdDSA"].Sign(with(claims, "nbf", start.Unix()+9)))
}

// A name twice is refused, wherever it stands: two parsers would read two tokens.
func TestPlatformTokenWithANameTwice(t *testing.T) {
	key := platformKeys()["EdDSA"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	header, payload := jsonText(t, key.Header()), jsonText(t, platformClaims())
	more := func(object, member string) string { return strings.TrimSuffix(object, "}") + "," + member + "}" }
	for name, token := range map[string]string{
		"aud":        key.SignText(header, more(payload, `"aud":"`+audience+`"`)),
		"exp":        key.SignText(header, more(payload, `"exp":1895255201`)),
		"EXP":        key.SignText(header, more(payload, `"EXP":1895255201`)),
		"iss":        key.SignText(header, more(payload, `"iss":"`+issuer+`"`)),
		"project_id": key.SignText(header, more(payload, `"project_id":"prj_1"`)),
		"deep":       key.SignText(header, more(payload, `"x":{"a":1,"A":2}`)),
		"alg":        key.SignText(more(header, `"alg":"EdDSA"`), payload),
		"kid":        key.SignText(more(header, `"kid":"x"`), payload),
	} {
		if _, err := v.Verify(context.Background(), token); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: got %v; want ErrInvalid", name, err)
		}
	}
	if _, err := v.Verify(context.Background(), key.SignText(header, payload)); err != nil {
		t.Error(err)
	}
}

func TestPlatformTokenHeaders(t *testing.T) {
	key := platformKeys()["RS256"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	payload := jsonText(t, platformClaims())
	good := jsonText(t, key.Header())
	for _, tt := range []struct {
		name, param, value string
		want               error
	}{
		{"no typ", "typ", "", nil},
		{"x5t of another certificate", "x5t", `"AAAA"`, nil},
		{"typ at+jwt", "typ", `"at+jwt"`, nil},
		{"typ dpop+jwt", "typ", `"dpop+jwt"`, identity.ErrInvalid},
		{"typ as media type", "typ", `"application/at+jwt"`, identity.ErrInvalid},
		{"typ JOSE", "typ", `"JOSE"`, identity.ErrInvalid},
		{"typ logout+jwt", "typ", `"logout+jwt"`, identity.ErrInvalid},
		{"typ in other case", "typ", `"jwt"`, identity.ErrInvalid},
		{"empty typ", "typ", `""`, identity.ErrInvalid},
		{"alg none", "alg", `"none"`, identity.ErrInvalid},
		{"alg HS256", "alg", `"HS256"`, identity.ErrInvalid},
		{"alg PS256", "alg", `"PS256"`, identity.ErrInvalid},
		{"alg ES256 for a key of RSA", "alg", `"ES256"`, identity.ErrInvalid},
		{"no kid", "kid", "", identity.ErrInvalid},
		{"kid of a key of another algorithm", "kid", `"platform-es256"`, identity.ErrInvalid},
		{"unknown kid", "kid", `"gone"`, identity.ErrUnknownKey},
		{"crit", "crit", `["exp"]`, identity.ErrInvalid},
		{"jku", "jku", `"https://evil.example/jwks"`, identity.ErrInvalid},
		{"jwk", "jwk", `{"kty":"RSA"}`, identity.ErrInvalid},
		{"x5c", "x5c", `["AAAA"]`, identity.ErrInvalid},
		{"x5t#S256", "x5t#S256", `"AAAA"`, identity.ErrInvalid},
		{"nonce", "nonce", `"AAAA"`, identity.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(context.Background(), key.SignText(edit(t, good, tt.param, tt.value), payload)); !errors.Is(err, tt.want) {
				t.Errorf("got %v; want %v", err, tt.want)
			}
		})
	}
}

func TestPlatformTokensOfAnySizeUpTo8KiB(t *testing.T) {
	key := platformKeys()["EdDSA"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	ofSize := func(n int) string {
		for pad := n/4*3 - 400; ; pad++ {
			if token := key.Sign(with(platformClaims(), "pad", strings.Repeat("p", pad))); len(token) >= n {
				return token
			}
		}
	}
	// Base64 leaves out every fourth length.
	good, long := ofSize(identity.MaxTokenBytes-1), ofSize(identity.MaxTokenBytes+1)
	if len(good) > identity.MaxTokenBytes {
		t.Fatalf("made %d bytes", len(good))
	}
	if _, err := v.Verify(context.Background(), good); err != nil {
		t.Errorf("%d bytes: %v", len(good), err)
	}
	if _, err := v.Verify(context.Background(), long); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("%d bytes: got %v; want ErrInvalid", len(long), err)
	}
	for _, broken := range []string{good[:100] + "\r\n" + good[100:], good + "\n", good + "=", " " + good} {
		if _, err := v.Verify(context.Background(), broken); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("got %v; want ErrInvalid", err)
		}
	}
}

// Neither of our own tokens and those of a platform passes for the other, even where one key signs both.
func TestOwnTokensAndPlatformTokensAreNeverConfused(t *testing.T) {
	own := testKey('a')
	shared := &oidcemu.Key{ID: newSigner(t, own).KeyID(), Algorithm: "EdDSA", Private: own}
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, shared)}, rule())
	header, payload := parts(t, sign(t, own, goodClaims(t)))
	ours := jsonText(t, shared.Header()) // typ JWT
	verify(t, v, forge(own, header, payload))
	verify(t, v, shared.Sign(platformClaims()))
	claims := edit(t, edit(t, edit(t, payload, "iss", `"`+platform+`"`), "project_id", `"prj_1"`), "cnf", "")
	// Our own claims under the platform's iss: what they say of scopes and rules counts for nothing.
	for _, h := range []string{header, ours} {
		if got := verify(t, v, forge(own, h, claims)).Principal; got.Trust != "web" || got.AuthenticatedBy != "oidc" || got.Scopes.String() != "read:web/production/*" || got.Parents != nil {
			t.Errorf("got %+v", got)
		}
	}
	for name, token := range map[string]string{
		"platform's token of our iss":         forge(own, ours, payload),
		"platform's claims with our iss":      shared.Sign(with(platformClaims(), "iss", issuer)),
		"our claims signed by the platform":   platformKeys()["EdDSA"].SignText(header, payload),
		"our claims, typ absent":              forge(own, edit(t, header, "typ", ""), payload),
		"platform's token with our iss, at+j": shared.SignText(header, jsonText(t, with(platformClaims(), "iss", issuer))),
	} {
		if got, err := v.Verify(context.Background(), token); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: got %+v, %v; want ErrInvalid", name, got, err)
		}
	}
}

func TestOneKidAtTwoIssuers(t *testing.T) {
	here, there := oidcemu.NewKey("EdDSA", "1"), oidcemu.NewKey("EdDSA", "1")
	sources := map[string]identity.KeySource{platform: newSource(t, here), another: newSource(t, there)}
	v := platformVerifier(t, newClock(), sources, rule(), rule(func(r *trust.Rule) {
		r.Name, r.Issuer, r.JWKSURI = "other", another, another+"/jwks"
	}))
	elsewhere := with(platformClaims(), "iss", another)
	if got := verify(t, v, here.Sign(platformClaims())).Principal.Trust; got != "web" {
		t.Errorf("got rule %s", got)
	}
	if got := verify(t, v, there.Sign(elsewhere)).Principal.Trust; got != "other" {
		t.Errorf("got rule %s", got)
	}
	for _, token := range []string{there.Sign(platformClaims()), here.Sign(elsewhere)} {
		if _, err := v.Verify(context.Background(), token); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("got %v; want ErrInvalid", err)
		}
	}
}

// Two rules of one issuer that allow different algorithms: neither takes what only the other allows.
func TestAlgorithmsAreThoseOfTheRule(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)},
		rule(func(r *trust.Rule) { r.Name, r.Algorithms = "rsa", []string{"RS256"} }),
		rule(func(r *trust.Rule) { r.Name, r.Algorithms = "curves", []string{"ES256"} }),
	)
	for alg, want := range map[string]string{"RS256": "rsa", "ES256": "curves", "ES384": "", "EdDSA": ""} {
		got, err := v.Verify(context.Background(), platformKeys()[alg].Sign(platformClaims()))
		switch {
		case want == "" && !errors.Is(err, identity.ErrInvalid):
			t.Errorf("%s: got %v; want ErrInvalid", alg, err)
		case want != "" && (err != nil || got.Principal.Trust != want):
			t.Errorf("%s: got %v, %v; want rule %s", alg, got, err, want)
		}
	}
}

// The modulus of an RSA key as an HMAC secret, the oldest confusion of all.
func TestPublicKeyIsNoSecret(t *testing.T) {
	key := platformKeys()["RS256"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	input := segment(`{"alg":"HS256","typ":"JWT","kid":"`+key.ID+`"}`) + "." + segment(jsonText(t, platformClaims()))
	for _, secret := range [][]byte{oidcemu.JWKS(key), []byte(key.ID), {}} {
		if _, err := v.Verify(context.Background(), input+"."+segment(string(hmacOf(secret, input)))); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("got %v; want ErrInvalid", err)
		}
	}
}

func TestUnknownKeyOfAnIssuerSaysWhenToTryAgain(t *testing.T) {
	s := newSource(t, allKeys()...)
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: s}, rule())
	token := platformKeys()["ES384"].Sign(platformClaims())
	for _, tt := range []struct {
		err  error
		want time.Duration
	}{
		{&identity.UnknownKeyError{RetryAfter: 7 * time.Second}, 7 * time.Second},
		{context.DeadlineExceeded, 0},
		{errors.New("the source is closed"), 0},
	} {
		s.fail(tt.err)
		_, err := v.Verify(context.Background(), token)
		var u *identity.UnknownKeyError
		if !errors.Is(err, identity.ErrUnknownKey) || errors.As(err, &u) != (tt.want > 0) || u != nil && u.RetryAfter != tt.want {
			t.Errorf("%v: got %v; want ErrUnknownKey after %v", tt.err, err, tt.want)
		}
	}
	s.fail(nil)
	verify(t, v, token)
}

// A key that the issuer takes back ends what was verified with it at once, and only that.
func TestRememberedPlatformTokenDiesWithItsKey(t *testing.T) {
	stays, goes := oidcemu.NewKey("ES256", "stays"), oidcemu.NewKey("ES256", "goes")
	s := newSource(t, stays, goes)
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: s}, rule())
	kept, dropped := stays.Sign(platformClaims()), goes.Sign(platformClaims())
	first := verify(t, v, kept)
	verify(t, v, dropped)
	s.publish(t, stays)
	if _, err := v.Verify(context.Background(), dropped); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("got %v; want ErrUnknownKey", err)
	}
	if verify(t, v, kept) != first {
		t.Error("the verification of a key that stays was dropped")
	}
	s.publish(t, oidcemu.NewKey("ES256", "stays"), goes) // another key under the kid
	if _, err := v.Verify(context.Background(), kept); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %v; want ErrInvalid", err)
	}
	if got := verify(t, v, dropped); got == nil {
		t.Error("a key that came back is not taken")
	}
	s.fail(&identity.UnknownKeyError{RetryAfter: time.Second})
	if _, err := v.Verify(context.Background(), dropped); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("without keys: got %v; want ErrUnknownKey", err)
	}
}

func TestRememberedPlatformTokenEndsWithItsTime(t *testing.T) {
	c := newClock()
	v := platformVerifier(t, c, map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	token := platformKeys()["EdDSA"].Sign(with(platformClaims(), "exp", start.Add(20*time.Second).Unix()))
	first := verify(t, v, token)
	c.Advance(49 * time.Second)
	if verify(t, v, token) != first {
		t.Error("not remembered within its time")
	}
	c.Advance(time.Second) // exp and the leeway
	if _, err := v.Verify(context.Background(), token); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("got %v; want ErrExpired", err)
	}
	if _, err := v.VerifyUncached(token); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("not remembered: got %v; want ErrExpired", err)
	}
}

func TestRememberedPlatformTokenAllocatesNothing(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	token := platformKeys()["RS256"].Sign(platformClaims())
	verify(t, v, token)
	if n := testing.AllocsPerRun(100, func() { verify(t, v, token) }); n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
}

func TestNewRefusesTrust(t *testing.T) {
	s := map[string]identity.KeySource{platform: newSource(t), issuer: newSource(t)}
	own := rule(func(r *trust.Rule) { r.Name, r.Issuer = "own", issuer })
	for name, c := range map[string]identity.Config{
		"neither keys nor rules":        {Issuer: issuer, Audience: audience},
		"rules without one":             {Issuer: issuer, Audience: audience, Trust: ruleSet(t)},
		"no source":                     {Trust: ruleSet(t, rule())},
		"a rule for our own issuer":     {Issuer: issuer, Audience: audience, Keys: keySet(t), Trust: ruleSet(t, rule(), own), Sources: s},
		"that, where we take no tokens": {Issuer: issuer, Trust: ruleSet(t, own), Sources: s},
		"keys without an audience":      {Issuer: issuer, Keys: keySet(t), Trust: ruleSet(t, rule()), Sources: s},
	} {
		if v, err := identity.New(c); err == nil {
			t.Errorf("%s: got %v; want an error", name, v)
		}
	}
}

// A node may take tokens of platforms alone.
func TestVerifierWithoutOwnKeys(t *testing.T) {
	v, err := identity.New(identity.Config{Trust: ruleSet(t, rule()), Sources: map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, Wall: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, v, platformKeys()["ES256"].Sign(platformClaims()))
	if _, err := v.Verify(context.Background(), sign(t, testKey('a'), goodClaims(t))); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("an access token: got %v; want ErrInvalid", err)
	}
	if err := v.SetKeys(keySet(t, testKey('a'))); err == nil {
		t.Error("keys were set that nothing uses")
	}
}

// A rule for private_key_jwt is for the token endpoint: what its key signs opens nothing by itself.
func TestClientAssertionsAreNotTakenOnReads(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "client")
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{"railway-web": newSource(t, key)}, trust.Rule{
		Name: "railway", Issuer: "railway-web", JWKS: "file:railway.jwks", Algorithms: []string{"EdDSA"}, Audiences: []string{audience}, Assertion: true,
		Require: map[string][]string{"sub": {"railway-web"}}, MaxTTL: time.Minute, Map: trust.Map{Scopes: []string{"read:web/production/*"}},
	})
	token := key.Sign(map[string]any{
		"iss": "railway-web", "sub": "railway-web", "aud": audience, "jti": "a-1", "iat": start.Unix(), "exp": start.Add(time.Minute).Unix(),
	})
	if got, err := v.Verify(context.Background(), token); !errors.Is(err, identity.ErrInvalid) || !strings.Contains(err.Error(), "token endpoint") {
		t.Errorf("got %v, %v; want ErrInvalid", got, err)
	}
	if e := v.Explain(context.Background(), token); e.Verified != nil || len(e.Findings) != 1 || !e.Findings[0].Taken {
		t.Errorf("got %+v; want the rule to take it, and the verifier not", e)
	}
}

func TestErrorsHoldNothingOfAPlatformToken(t *testing.T) {
	key := platformKeys()["EdDSA"]
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	for _, name := range []string{"iss", "aud", "sub", "jti", "exp", "nbf", "iat", "cnf", "project_id"} {
		for _, value := range []any{"CANARY", "CANARY\n", []string{"CANARY"}, map[string]string{"CANARY": "CANARY"}} {
			_, err := v.Verify(context.Background(), key.Sign(with(platformClaims(), name, value)))
			if strings.Contains(fmt.Sprint(err), "CANARY") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := v.Verify(context.Background(), key.SignText(edit(t, jsonText(t, key.Header()), "kid", `"CANARY"`), "{}")); strings.Contains(fmt.Sprint(err), "CANARY") {
		t.Error(err)
	}
}

// Keys come and go while tokens are verified.
func TestPublishWhileVerifying(t *testing.T) {
	a, b := oidcemu.NewKey("EdDSA", "a"), oidcemu.NewKey("EdDSA", "b")
	s := newSource(t, a, b)
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: s}, rule())
	stays, goes := a.Sign(platformClaims()), b.Sign(platformClaims())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if _, err := v.Verify(context.Background(), stays); err != nil {
					t.Errorf("the key that stays: %v", err)
				}
				if _, err := v.Verify(context.Background(), goes); err != nil && !errors.Is(err, identity.ErrUnknownKey) {
					t.Errorf("the key that comes and goes: %v", err)
				}
			}
		})
	}
	for range 50 {
		s.publish(t, a)
		if _, err := v.Verify(context.Background(), goes); !errors.Is(err, identity.ErrUnknownKey) {
			t.Errorf("a key that is gone: %v", err)
		}
		s.publish(t, a, b)
		if _, err := v.Verify(context.Background(), goes); err != nil {
			t.Errorf("a key that came back: %v", err)
		}
	}
	wg.Wait()
}

func hmacOf(secret []byte, input string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return mac.Sum(nil)
}

// No rule has the name by which records, policies and revocations know tokens and messages of another kind.
func TestNoRuleHasAnotherKindsName(t *testing.T) {
	for _, name := range []string{"local", identity.ProjectTrust, identity.HookTrust} {
		if _, err := trust.New([]trust.Rule{rule(func(r *trust.Rule) { r.Name = name })}); err == nil {
			t.Errorf("a trust rule is called %s", name)
		}
	}
}
