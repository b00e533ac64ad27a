package proxy_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestPrefetch(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts = append(c.Mounts, proxy.Mount{Path: path(t, "env"), Upstream: c.Mounts[0].Upstream, UpstreamName: "v", At: "a", Layout: proxy.Fields, TTL: c.Mounts[0].TTL})
	})
	h.vault.set("a/JSON", `{"A":"1","B":"2"}`)
	paths := []secret.Path{path(t, "one/KEY"), path(t, "one/NONE"), path(t, "elsewhere/KEY"), path(t, "env/JSON/A"), path(t, "env/JSON/B"), path(t, "env/JSON/C")}
	errs := h.Prefetch(t.Context(), paths)
	for i, want := range []api.Code{"", api.NotFound, api.NotFound, "", "", api.NotFound} {
		var got api.Code
		if errs[i] != nil {
			got = codeOf(t, errs[i])
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", paths[i], got, want)
		}
	}
	if n := h.vault.reads.Load(); n != 3 { // one/KEY, one/NONE, and once the object of three fields
		t.Errorf("%d reads", n)
	}
	// Nothing was decided, released or recorded.
	if h.judge.calls.Load() != 0 || h.records(`"kind":"access"`) != 0 {
		t.Errorf("%d decisions, %s", h.judge.calls.Load(), h.sink.Text())
	}
	// A read is decided and recorded as ever, and comes from the cache.
	reader := h.call(t, "read:one/*")
	if got, code := h.read(t, reader, "one/KEY"); got != canary || h.records(`"path":"one/KEY"`, `"state":"hit"`) != 1 {
		t.Errorf("got %q %s\n%s", got, code, h.sink.Text())
	}
	h.judge.effect.Store(uint32(policy.Deny))
	if _, code := h.read(t, reader, "one/KEY"); code != api.PolicyDenied {
		t.Errorf("got %s", code)
	}
	h.judge.effect.Store(uint32(policy.Allow))
	if _, code := h.read(t, h.call(t, "read:two/*"), "one/KEY"); code != api.ScopeDenied {
		t.Errorf("got %s", code)
	}
	if n := h.vault.reads.Load(); n != 3 {
		t.Errorf("%d reads", n)
	}
}

// A vault that does not answer takes no longer than the caller allows.
func TestPrefetchEnds(t *testing.T) {
	h := newHarness(t, nil)
	h.vault.gate = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []error)
	go func() { done <- h.Prefetch(ctx, []secret.Path{path(t, "one/KEY")}) }()
	for h.vault.reads.Load() == 0 {
		runtime.Gosched()
	}
	cancel()
	errs := <-done
	if codeOf(t, errs[0]) != api.UpstreamTimeout || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("got %v", errs[0])
	}
	close(h.vault.gate)
}

// What a failing vault leaves behind is a miss, never an absence.
func TestPrefetchWhileTheVaultFails(t *testing.T) {
	h := newHarness(t, nil)
	h.vault.fail = secret.ErrUnavailable
	if errs := h.Prefetch(t.Context(), []secret.Path{path(t, "one/KEY")}); codeOf(t, errs[0]) != api.UpstreamError {
		t.Errorf("got %v", errs[0])
	}
	h.vault.mu.Lock()
	h.vault.fail = nil
	h.vault.mu.Unlock()
	if got, code := h.read(t, h.call(t, "read:one/*"), "one/KEY"); got != canary {
		t.Errorf("got %q %s", got, code)
	}
}
