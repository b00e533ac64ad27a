package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// faulty is an upstream of one value that fails on demand and counts.
type faulty struct {
	reads  atomic.Int64
	broken atomic.Bool
	gone   atomic.Bool
}

func (f *faulty) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	f.reads.Add(1)
	switch {
	case f.broken.Load():
		return nil, secret.ErrUnavailable
	case f.gone.Load():
		return nil, secret.ErrNotFound
	}
	return &secret.Secret{Value: secret.NewValue([]byte("v")), Version: "1", CreatedAt: time.Unix(1, 0)}, nil
}

func (f *faulty) Close() error { return nil }

// What the configuration says of caches, limits and blindness is what the server does.
func TestUpstreamThatFails(t *testing.T) {
	var mu sync.Mutex
	start := time.Now()
	var passed time.Duration
	mono := func() time.Duration { mu.Lock(); defer mu.Unlock(); return passed }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); passed += d }
	up := &faulty{}
	document := strings.NewReplacer(
		"    at: web/production\n", "    at: web/production\n    cache: {soft_ttl: 1s, hard_ttl: 2s, stale_if_error: 10m, negative_ttl: 0}\n",
		"    at: web/preview\n", "    at: web/preview\n    cache: {soft_ttl: 1s, hard_ttl: 2s, stale_if_error: 0, negative_ttl: 1h}\n",
		`key: "file:keys/master.key"}`, `key: "file:keys/master.key", limits: {concurrency: 2, rate: 0}}`,
		"effect: deny", "effect: allow",
	).Replace(proxytest.Document)
	s := proxytest.NewServer(t, proxytest.Options{
		Document: document, Mono: mono, Wall: func() time.Time { return start.Add(mono()) },
		Drivers: func(d app.Drivers) app.Drivers {
			d.Upstreams["embedded"] = func(app.Env, config.Upstream) (secret.Upstream, error) { return up, nil }
			return d
		},
	})
	token := s.Target().Token(t, map[string]string{"scope": "read:**", "ttl": "1h"})
	get := func(path string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://in-process.invalid/v1/secrets/"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := s.App.InProcess().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	want := func(path string, status int, state, age string) {
		t.Helper()
		resp, body := get(path)
		h := resp.Header
		if resp.StatusCode != status || h.Get("X-Keyhole-Cache") != state || h.Get("Age") != age {
			t.Errorf("%s: got %d, cache %q, age %q (%s), want %d, %q, %q", path, resp.StatusCode, h.Get("X-Keyhole-Cache"), h.Get("Age"), body, status, state, age)
		}
		if status == 200 && strings.Contains(body, `"stale":true`) != (state == "stale") {
			t.Errorf("%s, %s: %s", path, state, body)
		}
	}
	for _, path := range []string{"web/production/KEY", "web/production/MASTER_KEY", "web/preview/KEY"} {
		want(path, 200, "miss", "0")
		want(path, 200, "hit", "0")
	}
	up.broken.Store(true)
	pass(3 * time.Second)
	before := up.reads.Load()
	want("web/production/KEY", 200, "stale", "3")
	if got := up.reads.Load() - before; got != 1 {
		t.Errorf("a vault of this machine was asked %d times, want once", got)
	}
	want("web/production/MASTER_KEY", 502, "", "")
	want("web/preview/KEY", 502, "", "")
	pass(10 * time.Minute)
	want("web/production/KEY", 502, "", "")

	up.broken.Store(false)
	up.gone.Store(true)
	before = up.reads.Load()
	for range 3 {
		want("web/production/GONE", 404, "", "")
	}
	want("web/preview/GONE", 404, "", "")
	pass(2 * time.Second)
	for range 3 {
		want("web/preview/GONE", 404, "negative", "2")
	}
	if got := up.reads.Load() - before; got != 4 {
		t.Errorf("%d reads of what is missing, want 4", got)
	}
	if got := s.App.Proxy.Stats(); got.Upstreams["local"].Attempts == 0 || got.Cache.Negative != 3 || got.Cache.Stale != 1 {
		t.Errorf("stats: %+v", got)
	}
}
