package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const platformIssuer = "https://platform.test"

// takingPlatforms makes the harness take tokens of a platform and assertions of a client, by one key.
func takingPlatforms(t testing.TB, key *oidcemu.Key) func(*proxy.Config) {
	t.Helper()
	rules, err := trust.New([]trust.Rule{
		{
			Name: "web", Issuer: platformIssuer, JWKSURI: platformIssuer + "/jwks", Algorithms: []string{"EdDSA"}, Audiences: []string{"https://k.test"},
			Require: map[string][]string{"project_id": {"prj_1"}}, Map: trust.Map{Base: "one", Scopes: []string{"read:one/*"}, Labels: map[string]string{"team": "payments"}},
		},
		{
			Name: "railway", Issuer: "railway-web", JWKS: "file:x", Algorithms: []string{"EdDSA"}, Audiences: []string{"https://k.test"}, Assertion: true,
			Require: map[string][]string{"sub": {"railway-web"}}, Map: trust.Map{Base: "two", Scopes: []string{"read:two/*"}, Labels: map[string]string{"team": "payments"}},
		},
	})
	must(t, err)
	keys, err := identity.ParseKeySet(oidcemu.JWKS(key))
	must(t, err)
	return func(c *proxy.Config) {
		own, err := identity.NewKeySet(c.Signer.PublicKey())
		must(t, err)
		c.Verifier, err = identity.New(identity.Config{
			Issuer: "https://k.test", Audience: "https://k.test", Keys: own, Wall: c.Wall, Trust: rules,
			Sources: map[string]identity.KeySource{platformIssuer: keys, "railway-web": keys},
		})
		must(t, err)
	}
}

func (h *harness) exchange(t testing.TB, token string, r proxy.ExchangeRequest) (*proxy.Call, api.Code) {
	t.Helper()
	done, err := h.Exchange(t.Context(), &proxy.Call{Token: token, Surface: "test", SourceIP: "192.0.2.1"}, r)
	if err != nil {
		return nil, codeOf(t, err)
	}
	return &proxy.Call{Token: done.Token, Surface: "test", SourceIP: "192.0.2.1"}, ""
}

// A platform's token becomes an access token of the same identity, which ends when the first is revoked and may outlive it.
func TestExchangePlatformToken(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall()
	token := key.Sign(map[string]any{
		"iss": platformIssuer, "sub": "project:web", "aud": "https://k.test", "project_id": "prj_1", "jti": "tok-1",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	c, code := h.exchange(t, token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	got := []any{pr.Trust, pr.Issuer, pr.Subject, pr.ClientID, pr.Base.String(), pr.Scopes.String(), pr.AuthenticatedBy, pr.Expires}
	want := []any{"web", platformIssuer, "project:web", "web", "one", "read:one/*", "access_token", now.Add(proxy.DefaultIssuedTTL)}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := h.records(`"action":"token_exchange"`, `"token_id":"tok-1"`, `"trust":"web"`, `"status":200`, pr.TokenID, "read:one/*"); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
	h.clock.pass(2*time.Minute, 2*time.Minute)
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Errorf("got %s", code)
	}
	if _, code := h.exchange(t, token, proxy.ExchangeRequest{}); code != api.TokenExpired {
		t.Errorf("got %q, want token_expired", code)
	}
	revoke(t, h, h.call(t, "revoke:**"), api.RevokeTokenID, "tok-1")
	if _, code := h.read(t, c, "one/KEY"); code != api.TokenRevoked {
		t.Errorf("got %q, want token_revoked", code)
	}
}

// Policies see the same claims of a token, of what it is exchanged for, and of what that is narrowed to: what they deny by a
// claim an exchange does not open. Of an assertion they see the rule's labels alone, since the client has written the rest.
func TestExchangeKeepsClaims(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall()
	seen := func(c *proxy.Call, secret string) string {
		t.Helper()
		if _, code := h.read(t, c, secret); code != "" {
			t.Fatal(code)
		}
		return fmt.Sprint(h.judge.last.Load().Principal.Claims)
	}
	token := key.Sign(map[string]any{
		"iss": platformIssuer, "sub": "project:web", "aud": "https://k.test", "project_id": "prj_1", "jti": "tok-1", "ref": "<main>",
		"list": []string{"x"}, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	const want = "[{labels.team payments} {project_id prj_1} {ref <main>}]"
	c := &proxy.Call{Token: token, Surface: "test", SourceIP: "192.0.2.1"}
	for _, what := range []string{"the platform's token", "what it was exchanged for", "what that was narrowed to"} {
		if got := seen(c, "one/KEY"); got != want {
			t.Errorf("%s: policies see %s, want %s", what, got, want)
		}
		var code api.Code
		if c, code = h.exchange(t, c.Token, proxy.ExchangeRequest{}); code != "" {
			t.Fatal(code)
		}
	}
	c, code := h.exchange(t, key.Sign(map[string]any{
		"iss": "railway-web", "sub": "railway-web", "aud": "https://k.test", "jti": "a-1", "ref": "main",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}), proxy.ExchangeRequest{Assertion: true})
	if code != "" {
		t.Fatal(code)
	}
	if got, want := seen(c, "two/KEY"), "[{labels.team payments}]"; got != want {
		t.Errorf("of an assertion policies see %s, want %s", got, want)
	}
}

// A token that says more than an access token can hold is exchanged for none: one that says less would be another identity.
func TestExchangeOfTooManyClaims(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall()
	claims := map[string]any{
		"iss": platformIssuer, "sub": "project:web", "aud": "https://k.test", "project_id": "prj_1", "jti": "tok-1",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	for i := range 11 {
		claims[fmt.Sprintf("claim-%d", i)] = strings.Repeat("x", 512)
	}
	token := key.Sign(claims)
	if _, code := h.read(t, &proxy.Call{Token: token}, "one/KEY"); code != "" {
		t.Fatal(code)
	}
	if _, code := h.exchange(t, token, proxy.ExchangeRequest{}); code != api.InvalidRequest {
		t.Errorf("got %q, want invalid_request", code)
	}
	if n := h.records(`"action":"token_exchange"`, `"token_id":"tok-1"`, `"status":400`); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

// An assertion is taken once, at this endpoint, within a minute of its life.
func TestExchangeAssertion(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall()
	sign := func(edits ...func(map[string]any)) string {
		claims := map[string]any{
			"iss": "railway-web", "sub": "railway-web", "aud": "https://k.test", "jti": "a-1",
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}
		for _, e := range edits {
			e(claims)
		}
		return key.Sign(claims)
	}
	r := proxy.ExchangeRequest{Assertion: true}
	for name, bad := range map[string]string{
		"no jti":          sign(func(c map[string]any) { delete(c, "jti") }),
		"another sub":     sign(func(c map[string]any) { c["sub"] = "other" }),
		"a longer life":   sign(func(c map[string]any) { c["exp"] = now.Add(61 * time.Second).Unix() }),
		"another service": sign(func(c map[string]any) { c["aud"] = "https://other.test" }),
		"a platform's":    sign(func(c map[string]any) { c["iss"], c["project_id"] = platformIssuer, "prj_1" }),
		"an access token": h.call(t, "read:**").Token,
	} {
		if _, code := h.exchange(t, bad, r); code != api.TokenInvalid {
			t.Errorf("%s: got %q, want token_invalid", name, code)
		}
	}
	if _, code := h.exchange(t, sign(), proxy.ExchangeRequest{}); code != api.TokenInvalid {
		t.Errorf("as a subject token: got %q", code)
	}
	c, code := h.exchange(t, sign(), proxy.ExchangeRequest{Assertion: true, ClientID: "railway-web"})
	if code != "" {
		t.Fatal(code)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	if pr.Trust != "railway" || pr.ClientID != "railway-web" || pr.Scopes.String() != "read:two/*" {
		t.Errorf("got %+v", pr)
	}
	h.clock.pass(time.Minute+identity.Leeway-time.Second, time.Minute)
	if _, code := h.exchange(t, sign(), r); code != api.TokenInvalid {
		t.Errorf("the second time: got %q, want token_invalid", code)
	}
	if _, code := h.exchange(t, sign(func(c map[string]any) { c["jti"] = "a-2" }), proxy.ExchangeRequest{Assertion: true, ClientID: "x"}); code != api.InvalidRequest {
		t.Errorf("another client_id: got %q", code)
	}
	if _, code := h.read(t, &proxy.Call{Token: sign(func(c map[string]any) { c["jti"] = "a-3" })}, "two/KEY"); code != api.TokenInvalid {
		t.Errorf("on a read: got %q", code)
	}
}

// What is made from an access token ends with it, and never lives longer than the configuration says.
func TestExchangedTokenEndsWithItsParent(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.MaxTTL = 30 * time.Minute })
	now := h.clock.Wall()
	for _, row := range []struct{ left, asked, want time.Duration }{
		{time.Hour, 0, proxy.DefaultIssuedTTL},
		{time.Hour, time.Minute, time.Minute},
		{time.Hour, 2 * time.Hour, 30 * time.Minute},
		{5 * time.Minute, 0, 5 * time.Minute},
		{5 * time.Minute, 10 * time.Minute, 5 * time.Minute},
	} {
		parent := h.call(t, "read:**", func(c *identity.Claims) { c.Expires = now.Add(row.left) })
		done, err := h.Exchange(t.Context(), parent, proxy.ExchangeRequest{TTL: row.asked})
		must(t, err)
		pr, err := h.Whoami(t.Context(), &proxy.Call{Token: done.Token})
		must(t, err)
		if done.TTL != row.want || !pr.Expires.Equal(now.Add(row.want)) {
			t.Errorf("%v left, %v asked: got %v, want %v", row.left, row.asked, done.TTL, row.want)
		}
	}
	// Within the leeway of the parent there is nothing left to give.
	parent := h.call(t, "read:**", func(c *identity.Claims) { c.Expires = now.Add(time.Second) })
	h.clock.pass(2*time.Second, 2*time.Second)
	if _, code := h.exchange(t, parent.Token, proxy.ExchangeRequest{}); code != api.TokenExpired {
		t.Errorf("got %q, want token_expired", code)
	}
}

// Without an acknowledged record no token leaves, and a node without a key says that it is none to ask.
func TestExchangeFailsClosed(t *testing.T) {
	h := newHarness(t, nil)
	must(t, h.log.Close())
	if c, code := h.exchange(t, h.call(t, "read:**").Token, proxy.ExchangeRequest{}); c != nil || code != api.AuditUnavailable {
		t.Errorf("got %v, %q, want audit_unavailable", c, code)
	}
	h = newHarness(t, func(c *proxy.Config) { c.Signer = nil })
	_, err := h.Exchange(t.Context(), h.call(t, "read:**"), proxy.ExchangeRequest{})
	if !errors.Is(err, proxy.ErrNotIssuing) {
		t.Errorf("got %v, want ErrNotIssuing", err)
	}
}

// Whatever is asked for, the token that is issued permits nothing that the one before it did not.
func TestExchangedScopeIsASubset(t *testing.T) {
	h := newHarness(t, nil)
	paths := []string{"one/KEY", "one/K", "one/deep/KEY", "two/KEY", "one"}
	scopes := rapid.Custom(func(rt *rapid.T) policy.Scopes {
		text := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"read:**", "read:one/**", "read:one/*", "read:one/K*", "read:one/KEY", "read:*/KEY", "read:*", "list:**", "list:one/*", "write:one/KEY", "read:two/*",
		}), 1, 4, rapid.ID[string]).Draw(rt, "scopes")
		var out policy.Scopes
		for _, s := range text {
			sc, err := policy.ParseScope(s)
			must(t, err)
			out = append(out, sc)
		}
		return out
	})
	rapid.Check(t, func(rt *rapid.T) {
		granted, asked := scopes.Draw(rt, "granted"), scopes.Draw(rt, "asked")
		h.clock.pass(time.Second, time.Second) // no rate is in the way
		parent := h.call(t, granted.String())
		done, err := h.Exchange(t.Context(), parent, proxy.ExchangeRequest{Scopes: asked, Narrow: true})
		if err != nil {
			if codeOf(t, err) != api.InvalidScope || len(granted.Narrow(asked)) > 0 {
				rt.Fatalf("%s asked of %s: %v", asked, granted, err)
			}
			return
		}
		pr, err := h.Whoami(t.Context(), &proxy.Call{Token: done.Token})
		must(t, err)
		for _, action := range []policy.Action{policy.Read, policy.List, policy.WriteTo} {
			for _, p := range paths {
				if pr.Scopes.Allows(action, path(t, p)) && (!granted.Allows(action, path(t, p)) || !asked.Allows(action, path(t, p))) {
					rt.Fatalf("%s asked of %s gives %s: %s %s", asked, granted, pr.Scopes, action, p)
				}
			}
		}
	})
}
