package proxy_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

var hookKey = bytes.Repeat([]byte("k"), identity.MinHookKeyBytes)

// withHook is the harness with a hook that may invalidate one/*.
func withHook(t *testing.T, edits ...func(*proxy.Config)) *harness {
	t.Helper()
	allow, err := secret.ParsePattern("one/*")
	must(t, err)
	hooks, err := identity.NewHooks([]identity.HookConfig{{Name: "ci", Keys: [][]byte{hookKey}, Allow: []secret.Pattern{allow}}})
	must(t, err)
	return newHarness(t, func(c *proxy.Config) {
		c.Hooks = hooks
		for _, edit := range edits {
			edit(c)
		}
	})
}

func (h *harness) message(body string) *proxy.HookMessage {
	m := &proxy.HookMessage{Name: "ci", Timestamp: strconv.FormatInt(h.clock.Wall().Unix(), 10), Body: []byte(body)}
	mac := hmac.New(sha256.New, hookKey)
	mac.Write([]byte(m.Timestamp + "." + body))
	m.Signature = hex.EncodeToString(mac.Sum(nil))
	return m
}

var sender = &proxy.Call{Surface: "test", SourceIP: "192.0.2.9"}

// A signed message is an invalidation by the hook, once.
func TestHook(t *testing.T) {
	h := withHook(t)
	c := h.call(t, "read:**")
	h.read(t, c, "one/KEY")
	h.vault.set("a/KEY", "new")
	m := h.message("one")
	what := proxy.Invalidation{Path: path(t, "one/KEY")}
	done, err := h.Hook(t.Context(), sender, m, what)
	must(t, err)
	if v, code := h.read(t, c, "one/KEY"); v != "new" || done.Generation != 1 {
		t.Errorf("got %q %q at generation %d, want the new value at 1", v, code, done.Generation)
	}
	if n := h.records(`"id":"`+done.Decision+`"`, `"kind":"intent"`, `"action":"invalidate"`, `"trust":"hook"`, `"sub":"ci"`, `"path":"one/KEY"`); n != 1 {
		t.Errorf("got %d intents of the hook, want 1", n)
	}
	_, err = h.Hook(t.Context(), sender, m, what)
	if err == nil || codeOf(t, err) != api.TokenInvalid || h.Generation() != 1 {
		t.Errorf("the same message again: got %v at generation %d", err, h.Generation())
	}
}

// A message that came to nothing is heard when it is sent again, as it is; one that was taken is not.
func TestHookMayTryAgain(t *testing.T) {
	h := withHook(t)
	m := h.message("one")
	what := proxy.Invalidation{Path: path(t, "one/KEY")}
	h.store.fail.Store(true)
	for range 2 {
		if _, err := h.Hook(t.Context(), sender, m, what); err == nil || codeOf(t, err) != api.StateUnavailable {
			t.Errorf("without a store: got %v, want state_unavailable", err)
		}
	}
	h.store.fail.Store(false)
	done, err := h.Hook(t.Context(), sender, m, what)
	if err != nil || done.Generation != 1 {
		t.Errorf("the same when the store is back: got %v, want it taken", err)
	}
	if _, err = h.Hook(t.Context(), sender, m, what); err == nil || codeOf(t, err) != api.TokenInvalid {
		t.Errorf("once more: got %v, want it refused", err)
	}
}

// A hook is one principal, wherever its messages come from.
func TestHookIsLimitedAsAPrincipal(t *testing.T) {
	h := withHook(t, limited(proxy.Limits{PerPrincipal: 2}))
	codes := map[api.Code]int{}
	for i := range 4 {
		from := *sender
		from.SourceIP = "192.0.2." + strconv.Itoa(100+i)
		_, err := h.Hook(t.Context(), &from, h.message("message "+strconv.Itoa(i)), proxy.Invalidation{Path: path(t, "one/KEY")})
		if err == nil {
			codes[""]++
			continue
		}
		codes[codeOf(t, err)]++
	}
	if codes[""] != 2 || codes[api.RateLimited] != 2 {
		t.Errorf("got %v, want two taken and two slowed down", codes)
	}
}

// What does not verify, and what the hook may not do, changes nothing and is recorded.
func TestHookRefusals(t *testing.T) {
	h := withHook(t)
	one := proxy.Invalidation{Path: path(t, "one/KEY")}
	edit := func(f func(*proxy.HookMessage)) *proxy.HookMessage {
		m := h.message("edited")
		f(m)
		return m
	}
	for name, row := range map[string]struct {
		m    *proxy.HookMessage
		what proxy.Invalidation
		want api.Code
	}{
		"unsigned":      {edit(func(m *proxy.HookMessage) { m.Signature = "" }), one, api.Unauthenticated},
		"forged":        {edit(func(m *proxy.HookMessage) { m.Body = []byte("other") }), one, api.TokenInvalid},
		"no such hook":  {edit(func(m *proxy.HookMessage) { m.Name = "none" }), one, api.TokenInvalid},
		"out of bounds": {h.message("two"), proxy.Invalidation{Path: path(t, "two/KEY")}, api.ScopeDenied},
		"too much":      {h.message("all"), proxy.Invalidation{Path: path(t, "one"), Below: true}, api.ScopeDenied},
	} {
		_, err := h.Hook(t.Context(), sender, row.m, row.what)
		if err == nil || codeOf(t, err) != row.want || h.Generation() != 0 {
			t.Errorf("%s: got %v at generation %d, want %s", name, err, h.Generation(), row.want)
		}
	}
	if n := h.records(`"action":"authenticate"`, `"token_id":"sha256:`, `"status":401`); n != 3 {
		t.Errorf("got %d records of messages that did not verify, want 3", n)
	}
	old := h.message("old")
	h.clock.pass(6*time.Minute, 6*time.Minute)
	if _, err := h.Hook(t.Context(), sender, old, one); err == nil || codeOf(t, err) != api.TokenExpired {
		t.Errorf("an old message: got %v", err)
	}
}

// A hook is a principal that can be revoked.
func TestHookIsRevoked(t *testing.T) {
	h := withHook(t)
	_, err := h.store.Append(t.Context(), state.Fact{ID: "r", Kind: state.Revocation, Subject: "subject:ci"})
	must(t, err)
	h.clock.pass(2*time.Second, 2*time.Second)
	_, err = h.Hook(t.Context(), sender, h.message("x"), proxy.Invalidation{Path: path(t, "one/KEY")})
	if err == nil || codeOf(t, err) != api.Revoked {
		t.Errorf("got %v, want revoked", err)
	}
}

// Whoever tries signatures is slowed down, and keeps no hook from being heard, not even from the same address.
func TestHookSendersAreLimited(t *testing.T) {
	h := withHook(t)
	bad, caught := h.message("x"), h.message("caught")
	bad.Signature = strings.Repeat("0", 64)
	one := proxy.Invalidation{Path: path(t, "one/KEY")}
	_, err := h.Hook(t.Context(), sender, caught, one)
	must(t, err)
	codes := map[api.Code]int{}
	for _, m := range slices.Repeat([]*proxy.HookMessage{bad, caught}, 10) {
		_, err := h.Hook(t.Context(), sender, m, one)
		codes[codeOf(t, err)]++
	}
	if codes[api.TokenInvalid] != 10 || codes[api.RateLimited] != 10 {
		t.Errorf("got %v, want 10 that are told why and 10 that are not", codes)
	}
	clear(codes)
	for i := range 20 {
		_, err := h.Hook(t.Context(), sender, h.message("good "+strconv.Itoa(i)), one)
		if err == nil {
			codes[""]++
			continue
		}
		codes[codeOf(t, err)]++
	}
	if codes[""] != 9 || codes[api.RateLimited] != 11 {
		t.Errorf("got %v, want what the hook may send in a second, less what it sent before", codes)
	}
}
