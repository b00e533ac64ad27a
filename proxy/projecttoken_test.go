package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

func createToken(t testing.TB, h *harness, c *proxy.Call, edit ...func(*proxy.ProjectTokenRequest)) (string, api.Code) {
	t.Helper()
	scopes, err := policy.ParseScopes("read:one/*")
	must(t, err)
	r := proxy.ProjectTokenRequest{Environment: "production", Scopes: scopes, Base: path(t, "one"), TTL: 24 * time.Hour}
	for _, e := range edit {
		e(&r)
	}
	token, _, err := h.CreateProjectToken(t.Context(), c, r)
	if err != nil {
		return "", codeOf(t, err)
	}
	return token, ""
}

// A project token opens what it is for until it ends, and the log has nothing but its digest.
func TestProjectToken(t *testing.T) {
	h := newHarness(t, nil)
	token, code := createToken(t, h, h.call(t, "revoke:** read:**"))
	if code != "" {
		t.Fatal(code)
	}
	c := &proxy.Call{Token: token, Surface: "test", SourceIP: "192.0.2.1"}
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Fatalf("got %q", code)
	}
	if _, code := h.read(t, c, "two/KEY"); code != api.ScopeDenied {
		t.Errorf("got %q, want scope_denied", code)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	env, _ := policy.Lookup(pr.Claims, "environment")
	if pr.Trust != identity.ProjectTrust || pr.Subject != "production" || pr.AuthenticatedBy != "project_token" || env != "production" || pr.Base.String() != "one" {
		t.Errorf("got %+v", pr)
	}
	for _, bad := range []string{token + "x", token[:len(token)-1], "kh_", strings.Replace(token, "production", "preview", 1)} {
		if _, code := h.read(t, &proxy.Call{Token: bad}, "one/KEY"); code != api.TokenInvalid {
			t.Errorf("%s: got %q, want token_invalid", bad, code)
		}
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	for _, f := range facts {
		if strings.Contains(string(f.Payload)+f.Subject, token[len(token)-36:]) {
			t.Errorf("the log holds the token: %s", f.Payload)
		}
	}
	h.clock.pass(24*time.Hour, 24*time.Hour)
	if _, code := h.read(t, c, "one/KEY"); code != api.TokenExpired && code != api.TokenInvalid {
		t.Errorf("after its end: got %q", code)
	}
}

// One that was never made here opens nothing, however well formed.
func TestUnknownProjectToken(t *testing.T) {
	h := newHarness(t, nil)
	createToken(t, h, h.call(t, "revoke:** read:**"))
	stranger, err := identity.NewProjectToken("production")
	must(t, err)
	if _, code := h.read(t, &proxy.Call{Token: stranger}, "one/KEY"); code != api.TokenInvalid {
		t.Errorf("got %q, want token_invalid", code)
	}
}

// It ends when it is revoked, also by its holder, and stays so for as long as it could have lived.
func TestProjectTokenIsRevoked(t *testing.T) {
	h := newHarness(t, nil)
	token, _ := createToken(t, h, h.call(t, "revoke:** read:**"), func(r *proxy.ProjectTokenRequest) { r.TTL = 90 * 24 * time.Hour })
	c := &proxy.Call{Token: token}
	issued, code := h.exchange(t, token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	revoke(t, h, c, api.RevokeTokenID, pr.TokenID)
	for name, c := range map[string]*proxy.Call{"the token": c, "what it was exchanged for": issued} {
		if _, code := h.read(t, c, "one/KEY"); code != api.TokenRevoked {
			t.Errorf("%s: got %q, want token_revoked", name, code)
		}
	}
	h.clock.pass(89*24*time.Hour, 89*24*time.Hour)
	if _, code := h.read(t, c, "one/KEY"); code != api.TokenRevoked {
		t.Errorf("months later: got %q, want token_revoked", code)
	}
}

// Who makes a token gives nothing that they do not have, and makes none with one of these.
func TestProjectTokensAreMadeByWhoMay(t *testing.T) {
	h := newHarness(t, nil)
	for scopes, want := range map[string]api.Code{
		"read:**":                  api.ScopeDenied,
		"revoke:**":                api.ScopeDenied,
		"revoke:one/** read:**":    api.ScopeDenied,
		"revoke:** read:one/KEY":   api.ScopeDenied,
		"revoke:** list:**":        api.ScopeDenied,
		"revoke:** read:one/*":     "",
		"revoke:** read:** list:*": "",
	} {
		before := h.Generation()
		if _, code := createToken(t, h, h.call(t, scopes)); code != want {
			t.Errorf("%s: got %q, want %q", scopes, code, want)
		}
		if want != "" && h.Generation() != before {
			t.Errorf("%s: refused, and a fact", scopes)
		}
	}
	all, err := policy.ParseScopes("revoke:** read:**")
	must(t, err)
	first, code := createToken(t, h, h.call(t, "revoke:** read:**"), func(r *proxy.ProjectTokenRequest) { r.Scopes = all })
	if code != "" {
		t.Fatal(code)
	}
	if _, code := createToken(t, h, &proxy.Call{Token: first}); code != api.ScopeDenied {
		t.Errorf("by a project token: got %q, want scope_denied", code)
	}
	issued, _ := h.exchange(t, first, proxy.ExchangeRequest{})
	narrowed, code := h.exchange(t, issued.Token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	for name, c := range map[string]*proxy.Call{"made from it": issued, "narrowed from that": narrowed} {
		if token, code := createToken(t, h, c); token != "" || code != api.ScopeDenied {
			t.Errorf("by an access token that was %s: got %q, want scope_denied", name, code)
		}
	}
	for name, edit := range map[string]func(*proxy.ProjectTokenRequest){
		"no scopes":   func(r *proxy.ProjectTokenRequest) { r.Scopes = nil },
		"environment": func(r *proxy.ProjectTokenRequest) { r.Environment = "a_b" },
		"too short":   func(r *proxy.ProjectTokenRequest) { r.TTL = time.Second },
		"too long":    func(r *proxy.ProjectTokenRequest) { r.TTL = proxy.MaxProjectTokenTTL + 1 },
		"subject":     func(r *proxy.ProjectTokenRequest) { r.Subject = "a\nb" },
	} {
		if _, code := createToken(t, h, h.call(t, "revoke:** read:**"), edit); code != api.InvalidRequest && code != api.InvalidScope {
			t.Errorf("%s: got %q", name, code)
		}
	}
	must(t, h.log.Close())
	if token, code := createToken(t, h, h.call(t, "revoke:** read:**")); token != "" || code != api.AuditUnavailable {
		t.Errorf("without a record: got a token, %q", code)
	}
}

// The use of a token is noted once an hour, and the log holds the last of them.
func TestProjectTokenUseIsNoted(t *testing.T) {
	h := newHarness(t, nil)
	token, _ := createToken(t, h, h.call(t, "revoke:** read:**"))
	used := func() (times int, last time.Time) {
		t.Helper()
		list, err := h.ProjectTokens(t.Context(), h.call(t, "revoke:**"))
		must(t, err)
		facts, _, err := h.store.Since(t.Context(), 0)
		must(t, err)
		for _, f := range facts {
			if f.Kind == state.ProjectTokenUse {
				times++
			}
		}
		return times, list[0].LastUsed
	}
	if n, at := used(); n != 0 || !at.IsZero() {
		t.Errorf("before: got %d, %s", n, at)
	}
	for range 3 {
		for range 3 {
			h.read(t, &proxy.Call{Token: token}, "one/KEY")
			h.WaitForUses()
		}
		if n, at := used(); n != 1 || !at.Equal(h.clock.Wall()) {
			t.Errorf("got %d facts, the last use at %s, want 1 at %s", n, at, h.clock.Wall())
		}
		h.clock.pass(time.Hour, time.Hour)
	}
}

// They are listed in the order in which they were made, within one second, too.
func TestProjectTokensAreListedByAge(t *testing.T) {
	h := newHarness(t, nil)
	for i := range 8 {
		if _, code := createToken(t, h, h.call(t, "revoke:** read:**"), func(r *proxy.ProjectTokenRequest) { r.Subject = string(rune('a' + i)) }); code != "" {
			t.Fatal(code)
		}
		h.clock.pass(time.Millisecond, time.Millisecond)
	}
	list, err := h.ProjectTokens(t.Context(), h.call(t, "revoke:**"))
	must(t, err)
	var got strings.Builder
	for i := range list {
		got.WriteString(list[i].Subject)
	}
	if got.String() != "abcdefgh" {
		t.Errorf("got %s", got.String())
	}
}

// A node that did not make the token ends it by lifting its fact.
func TestLiftedProjectTokenOpensNothing(t *testing.T) {
	h := newHarness(t, nil)
	token, _ := createToken(t, h, h.call(t, "revoke:** read:**"))
	if _, code := h.read(t, &proxy.Call{Token: token}, "one/KEY"); code != "" {
		t.Fatal(code)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	appendFact(t, h, state.Lift, facts[0].ID)
	h.clock.pass(time.Second, time.Second)
	if _, code := h.read(t, &proxy.Call{Token: token}, "one/KEY"); code != api.TokenInvalid {
		t.Errorf("got %q, want token_invalid", code)
	}
}
