package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// What an upstream says, as the caller hears it. None of it is the caller's fault, or his business.
func TestUpstreamFaults(t *testing.T) {
	unknown := errors.New("0x8007000E: " + canary)
	for _, row := range []struct {
		fail        error
		read, write api.Code
	}{
		{secret.ErrNotFound, api.NotFound, api.NotFound},
		{secret.ErrDenied, api.UpstreamError, api.UpstreamError},
		{secret.ErrThrottled, api.UpstreamError, api.UpstreamError},
		{secret.ErrUnavailable, api.UpstreamError, api.UpstreamError},
		{secret.ErrTimeout, api.UpstreamTimeout, api.UpstreamTimeout},
		{context.DeadlineExceeded, api.UpstreamTimeout, api.UpstreamTimeout},
		{secret.ErrTooLarge, api.UpstreamError, api.TooLarge},
		{secret.ErrInvalidSecret, api.UpstreamError, api.InvalidRequest},
		{secret.ErrUnsupported, api.UpstreamError, api.MethodNotAllowed},
		{secret.ErrLeased, api.UpstreamError, api.UpstreamError},
		{secret.ErrConflict, api.UpstreamError, api.VersionConflict},
		{fmt.Errorf("%w: after %w", secret.ErrUnavailable, context.DeadlineExceeded), api.UpstreamError, api.UpstreamError},
		{unknown, api.UpstreamError, api.UpstreamError},
	} {
		h := newHarness(t, nil)
		c := h.call(t, "read:one/* write:one/*")
		h.vault.fail = fmt.Errorf("asking the vault: %w", row.fail)
		a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
		if err == nil || codeOf(t, err) != row.read || a.Value.Len() > 0 {
			t.Errorf("%v: read: got %v, want %s", row.fail, err, row.read)
		}
		if !errors.Is(err, row.fail) {
			t.Errorf("%v: the log does not learn of it: %v", row.fail, errors.Unwrap(err))
		}
		if err := write(t, h, c, "one/KEY", "new"); err == nil || codeOf(t, err) != row.write {
			t.Errorf("%v: write: got %v, want %s", row.fail, err, row.write)
		}
	}
}

// A leased secret is refused in words of its own: it is not the upstream that has to be mended.
func TestLeasedSecret(t *testing.T) {
	h := newHarness(t, nil)
	h.vault.fail = fmt.Errorf("asking the vault: %w", secret.ErrLeased)
	_, err := h.Read(t.Context(), h.call(t, "read:one/*"), proxy.ReadRequest{Path: path(t, "one/KEY")})
	if err == nil || !strings.Contains(err.Error(), "leased") {
		t.Errorf("got %v, want it to say that the secret is leased", err)
	}
}

// An upstream that breaks down is one that failed.
func TestAnUpstreamThatPanics(t *testing.T) {
	h := newHarness(t, mounted(t, &brokenBook{}))
	if v, code := h.read(t, h.call(t, "read:one/*"), "one/KEY"); v != "" || code != api.UpstreamError {
		t.Errorf("got %q %q, want upstream_error", v, code)
	}
}

type brokenBook struct{ book }

func (*brokenBook) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	panic(canary)
}

// A server on its way down says so, and advises nothing else.
func TestACacheThatIsClosed(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	must(t, h.cache.Close())
	if v, code := h.read(t, c, "one/KEY"); v != "" || code != api.NotReady {
		t.Errorf("got %q %q, want not_ready", v, code)
	}
}

// slowStore times out.
type slowStore struct{ *store }

func (s slowStore) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	if s.fail.Load() {
		return nil, 0, fmt.Errorf("%w: %w", state.ErrUnavailable, context.DeadlineExceeded)
	}
	return s.store.Since(ctx, seq)
}

// A deadline inside audit or state is 503 of theirs, and no timeout of an upstream that nobody asked.
func TestDeadlinesOfAuditAndState(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.State = slowStore{c.State.(*store)} })
	c := h.call(t, "read:one/* write:one/*")
	var e *proxy.Error

	h.sink.Fail(fmt.Errorf("writing: %w", context.DeadlineExceeded), 0)
	_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
	if !errors.As(err, &e) || e.Code != api.AuditUnavailable || e.RetryAfter != time.Second {
		t.Errorf("audit: got %v, want audit_unavailable and when to come again", err)
	}
	h.sink.Fail(nil, 0)

	h.store.fail.Store(true)
	h.clock.pass(time.Minute, time.Minute)
	_, err = h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
	if !errors.As(err, &e) || e.Code != api.StateUnavailable || e.RetryAfter != time.Second {
		t.Errorf("state: got %v, want state_unavailable and when to come again", err)
	}
}

// What a proxy cannot be made of.
func TestConfigurationsThatAreRefused(t *testing.T) {
	up, ttl := &book{}, cache.TTL{Soft: time.Second, Hard: time.Minute}
	one := proxy.Mount{Path: path(t, "one"), Upstream: up, UpstreamName: "b", TTL: ttl}
	var good proxy.Config
	newHarness(t, func(c *proxy.Config) { good = *c })
	for name, edit := range map[string]func(*proxy.Config){
		"two mounts at one path":   func(c *proxy.Config) { c.Mounts = []proxy.Mount{one, one} },
		"two root mounts":          func(c *proxy.Config) { m := one; m.Path = secret.Path{}; c.Mounts = []proxy.Mount{m, one, m} },
		"no upstream":              func(c *proxy.Config) { m := one; m.Upstream = nil; c.Mounts = []proxy.Mount{m} },
		"an upstream, no name":     func(c *proxy.Config) { m := one; m.UpstreamName = ""; c.Mounts = []proxy.Mount{m} },
		"no soft TTL":              func(c *proxy.Config) { m := one; m.TTL.Soft = 0; c.Mounts = []proxy.Mount{m} },
		"a hard TTL below soft":    func(c *proxy.Config) { m := one; m.TTL.Hard = 1; c.Mounts = []proxy.Mount{m} },
		"a negative interval":      func(c *proxy.Config) { c.Check = -1 },
		"no verifier":              func(c *proxy.Config) { c.Verifier = nil },
		"nobody who decides":       func(c *proxy.Config) { c.Authorizer = nil },
		"no cache":                 func(c *proxy.Config) { c.Cache = nil },
		"no state":                 func(c *proxy.Config) { c.State = nil },
		"nowhere to write records": func(c *proxy.Config) { c.Audit = nil },
	} {
		c := good
		edit(&c)
		if p, err := proxy.New(c); err == nil || p != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Before Start has succeeded, nothing is ready, whatever answers.
func TestNotReadyBeforeStart(t *testing.T) {
	var config proxy.Config
	h := newHarness(t, func(c *proxy.Config) { config = *c })
	p, err := proxy.New(config)
	must(t, err)
	if p.Ready() == nil {
		t.Error("ready before Start")
	}
	h.store.fail.Store(true)
	if err := p.Start(t.Context()); !errors.Is(err, state.ErrUnavailable) || p.Ready() == nil {
		t.Errorf("Start with a store that fails: got %v, ready: %t", err, p.Ready() == nil)
	}
	h.store.fail.Store(false)
	must(t, p.Start(t.Context()), p.Ready())
}
