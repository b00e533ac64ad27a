package proxy_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// twin is another node of the region of h: its state store, its keys and its upstream, and a cache and a clock of its own.
func twin(t testing.TB, h *harness) *harness {
	t.Helper()
	other := newHarness(t, func(c *proxy.Config) {
		keys, err := identity.NewKeySet(h.signer.PublicKey())
		must(t, err)
		c.Verifier, err = identity.New(identity.Config{Issuer: "https://k.test", Audience: "https://k.test", Keys: keys, Wall: c.Wall})
		must(t, err)
		c.State, c.Signer = h.store, h.signer
	})
	other.clock.pass(h.clock.Wall().Sub(other.clock.Wall()), h.clock.Mono())
	return other
}

// pass lets time pass on all of the nodes.
func pass(d time.Duration, nodes ...*harness) {
	for _, n := range nodes {
		n.clock.pass(d, d)
	}
}

// A token that is made on one node is taken by another within the check interval, and refused there as soon after it was
// revoked on the first; one that is made of it goes with it.
func TestProjectTokenOnTwoNodes(t *testing.T) {
	a := newHarness(t, nil)
	b := twin(t, a)
	token, code := createToken(t, a, a.call(t, "revoke:** read:**"))
	if code != "" {
		t.Fatal(code)
	}
	c := &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
	pass(time.Second, a, b)
	if v, code := b.read(t, c, "one/KEY"); v != canary {
		t.Fatalf("on the other node: got %q", code)
	}
	made, code := b.exchange(t, token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	again, code := a.exchange(t, made.Token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	pr, err := b.Whoami(t.Context(), c)
	must(t, err)
	revoke(t, a, c, api.RevokeTokenID, pr.TokenID)
	pass(time.Second, a, b)
	for name, c := range map[string]*proxy.Call{"the token": c, "made of it": made, "made of that": again} {
		for _, n := range []*harness{a, b} {
			if _, code := n.read(t, c, "one/KEY"); code != api.TokenRevoked {
				t.Errorf("%s: got %q, want token_revoked", name, code)
			}
		}
	}
	if _, code := b.exchange(t, token, proxy.ExchangeRequest{}); code != api.TokenRevoked {
		t.Errorf("exchanged on the other node: got %q", code)
	}
}

// Each kind of revocation holds on the other node within the check interval, and lifting it there gives access back on the
// first.
func TestRevocationsOnTwoNodes(t *testing.T) {
	a := newHarness(t, nil)
	b := twin(t, a)
	admin := a.call(t, "revoke:**", func(c *identity.Claims) { c.Subject, c.Trust = "admin", "admins" })
	app := a.call(t, "read:**", func(c *identity.Claims) {
		c.TokenID, c.OriginTokenID, c.Parents, c.Trust = "jti-1", "origin-1", []string{"parent-1", "parent-2"}, "web"
	})
	for _, row := range []struct {
		kind api.RevocationKind
		name string
		want api.Code
	}{
		{api.RevokeTokenID, "jti-1", api.TokenRevoked},
		{api.RevokeTokenID, "parent-1", api.TokenRevoked},
		{api.RevokeTokenID, "parent-2", api.TokenRevoked},
		{api.RevokeTokenID, "origin-1", api.TokenRevoked},
		{api.RevokeSubject, "app", api.Revoked},
		{api.RevokeTrust, "web", api.Revoked},
		{api.RevokeSecret, "one/KEY", api.Revoked},
		{api.RevokeSecret, "one/*", api.Revoked},
	} {
		if v, code := b.read(t, app, "one/KEY"); v != canary {
			t.Fatalf("before %s: got %q", row.name, code)
		}
		r := revoke(t, a, admin, row.kind, row.name)
		pass(time.Second, a, b)
		if _, code := b.read(t, app, "one/KEY"); code != row.want {
			t.Errorf("%s %s: got %q on the other node, want %q", row.kind, row.name, code, row.want)
		}
		if _, err := b.Lift(t.Context(), admin, r.ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Second, a, b)
		if v, code := a.read(t, app, "one/KEY"); v != canary {
			t.Errorf("%s %s lifted on the other node: got %q", row.kind, row.name, code)
		}
	}
	revoke(t, a, admin, api.RevokeKeyID, a.signer.KeyID())
	pass(time.Second, a, b)
	if _, code := b.read(t, app, "one/KEY"); code != api.TokenRevoked {
		t.Errorf("key_id: got %q on the other node", code)
	}
}

// A node that starts later, and one that was away until the log no longer told it what it missed, know the tokens, which
// of them are revoked, and which are gone.
func TestProjectTokensAfterRestartAndCompaction(t *testing.T) {
	h := newHarness(t, nil)
	admin := h.call(t, "revoke:** read:**")
	calls := map[string]*proxy.Call{}
	for _, name := range []string{"kept", "revoked", "over", "lifted"} {
		token, code := createToken(t, h, admin, func(r *proxy.ProjectTokenRequest) {
			if name == "over" {
				r.TTL = time.Minute
			}
		})
		if code != "" {
			t.Fatal(code)
		}
		calls[name] = &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
		h.read(t, calls[name], "one/KEY")
		h.WaitForUses()
	}
	pr, err := h.Whoami(t.Context(), calls["revoked"])
	must(t, err)
	revoke(t, h, admin, api.RevokeTokenID, pr.TokenID)
	h.clock.pass(time.Minute, time.Minute)
	lifted, err := h.Whoami(t.Context(), calls["lifted"])
	must(t, err)
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	for _, f := range facts {
		if f.Kind == state.ProjectToken && f.Subject == lifted.TokenID {
			appendFact(t, h, state.Lift, f.ID)
		}
	}
	h.clock.pass(time.Minute, time.Minute)
	h.store.compacted.Store(true)
	for what, n := range map[string]*harness{"after a compaction": h, "after a start": twin(t, h)} {
		for name, want := range map[string]api.Code{"kept": "", "revoked": api.TokenRevoked, "over": api.TokenInvalid, "lifted": api.TokenInvalid} {
			if _, code := n.read(t, calls[name], "one/KEY"); code != want && (name != "over" || code != api.TokenExpired) {
				t.Errorf("%s, the token that is %s: got %q, want %q", what, name, code, want)
			}
		}
		list, err := n.ProjectTokens(t.Context(), admin)
		must(t, err)
		if len(list) != 2 || list[0].Revoked == list[1].Revoked || list[0].LastUsed.IsZero() {
			t.Errorf("%s: got %+v", what, list)
		}
	}
}

// Tokens are made, used and revoked at the same time, on two nodes. None is lost, and none works once it is revoked.
func TestProjectTokensAtTheSameTime(t *testing.T) {
	a := newHarness(t, nil)
	b := twin(t, a)
	admin := a.call(t, "revoke:** read:**")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				token, code := createToken(t, a, admin)
				if code != "" {
					t.Errorf("creating: got %q", code)
					return
				}
				c := &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
				if v, code := a.read(t, c, "one/KEY"); v != canary {
					t.Errorf("using: got %q", code)
				}
				if i%2 == 0 {
					continue
				}
				pr, err := a.Whoami(t.Context(), c)
				if err != nil {
					t.Errorf("asking: %v", err)
					return
				}
				if _, err := a.Revoke(t.Context(), c, proxy.Revocation{Kind: api.RevokeTokenID, Name: pr.TokenID, Reason: "a test"}); err != nil {
					t.Errorf("revoking: %v", err)
				}
				if _, code := a.read(t, c, "one/KEY"); code != api.TokenRevoked {
					t.Errorf("revoked: got %q", code)
				}
			}
		})
	}
	wg.Wait()
	pass(time.Second, a, b)
	for _, n := range []*harness{a, b} {
		list, err := n.ProjectTokens(t.Context(), admin)
		must(t, err)
		revoked := 0
		for _, p := range list {
			if p.Revoked {
				revoked++
			}
		}
		if len(list) != 40 || revoked != 20 {
			t.Errorf("%d tokens, %d of them revoked, want 40 and 20", len(list), revoked)
		}
	}
}

// Facts that no version of this code writes, such as two of one digest, harm no token and no node.
func TestStrangeFactsOfProjectTokens(t *testing.T) {
	h := newHarness(t, nil)
	token, code := createToken(t, h, h.call(t, "revoke:** read:**"))
	if code != "" {
		t.Fatal(code)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	made := facts[len(facts)-1]
	first := made.ID
	for _, strange := range []func(f *state.Fact){
		func(*state.Fact) {},
		func(f *state.Fact) { f.Payload = []byte(`{}`) },
		func(f *state.Fact) { f.Payload = []byte(`no JSON`) },
		func(f *state.Fact) { f.Kind = state.ProjectTokenUse; f.Subject = "sha256:of-no-token" },
	} {
		f := made
		f.ID = audit.NewID(h.clock.Wall())
		strange(&f)
		_, err := h.store.Append(t.Context(), f)
		must(t, err)
	}
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, &proxy.Call{Token: token}, "one/KEY"); v != canary {
		t.Errorf("got %q", code)
	}
	h.WaitForUses()
	appendFact(t, h, state.Lift, first)
	h.clock.pass(time.Second, time.Second)
	h.read(t, &proxy.Call{Token: token}, "one/KEY")
	h.clock.pass(25*time.Hour, 25*time.Hour)
	appendFact(t, h, state.ProjectTokenUse, "sha256:of-no-token")
	if _, code := h.read(t, &proxy.Call{Token: token}, "one/KEY"); code != api.TokenInvalid && code != api.TokenExpired {
		t.Errorf("after its end: got %q", code)
	}
}

// I8: the token is shown to who made it, once. No fact, record, log line or error holds it, nor its random part.
func TestProjectTokenIsNowhere(t *testing.T) {
	var logged bytes.Buffer
	h := newHarness(t, func(c *proxy.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	admin := h.call(t, "revoke:** read:**")
	token, code := createToken(t, h, admin)
	if code != "" {
		t.Fatal(code)
	}
	var texts strings.Builder
	c := &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
	note := func(err error) {
		if err != nil {
			texts.WriteString(err.Error() + "\n")
			for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
				texts.WriteString(cause.Error() + "\n")
			}
		}
	}
	h.read(t, c, "one/KEY")
	_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "two/KEY")})
	note(err)
	issued, code := h.exchange(t, token, proxy.ExchangeRequest{})
	if code != "" {
		t.Fatal(code)
	}
	_, err = h.Exchange(t.Context(), c, proxy.ExchangeRequest{Assertion: true})
	note(err)
	all, err := policy.ParseScopes("write:**")
	must(t, err)
	_, err = h.Exchange(t.Context(), c, proxy.ExchangeRequest{Narrow: true, Scopes: all})
	note(err)
	for _, bad := range []string{token + "0", token[:len(token)-1], strings.Replace(token, "production", "preview", 1)} {
		_, err := h.Whoami(t.Context(), &proxy.Call{Token: bad, SourceIP: "192.0.2.1"})
		note(err)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	revoke(t, h, c, api.RevokeTokenID, pr.TokenID)
	_, err = h.Whoami(t.Context(), c)
	note(err)
	h.WaitForUses()
	h.clock.pass(48*time.Hour, 48*time.Hour)
	_, err = h.Whoami(t.Context(), c)
	note(err)
	must(t, h.log.Close())
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	for _, f := range facts {
		texts.WriteString(f.ID + " " + f.Subject + " " + string(f.Payload) + "\n")
	}
	if strings.Count(texts.String(), "\n") < 8 || logged.Len() == 0 {
		t.Fatalf("there is little to look at: %s", &texts)
	}
	random := token[len("kh_production_") : len(token)-6]
	for what, text := range map[string]string{"a fact or an error": texts.String(), "the log": logged.String(), "the audit log": h.sink.Text(), "the issued token": issued.Token} {
		for from := 0; from+12 <= len(random); from++ {
			if strings.Contains(text, random[from:from+12]) {
				t.Fatalf("%s holds a part of the token", what)
			}
		}
	}
}
