package proxy_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// replicas is an upstream whose reads are answered in turn, as by replicas of which some lag behind.
type replicas struct {
	mu      sync.Mutex
	answers []secret.Secret
	reads   int
	given   []secret.Value
}

func (r *replicas) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	s := r.answers[0]
	r.answers = r.answers[1:]
	s.Value = secret.NewValue([]byte("value of " + string(s.Version)))
	r.given = append(r.given, s.Value)
	return &s, nil
}

func (r *replicas) Close() error { return nil }

// orderedReplicas name their versions by numbers.
type orderedReplicas struct{ *replicas }

func (orderedReplicas) CompareVersions(a, b secret.Version) int {
	x, _ := strconv.Atoi(string(a))
	y, _ := strconv.Atoi(string(b))
	return cmp.Compare(x, y)
}

func at(version string, second int64) secret.Secret {
	return secret.Secret{Version: secret.Version(version), CreatedAt: time.Unix(second, 0)}
}

func TestRefreshNeverOlder(t *testing.T) {
	for name, tt := range map[string]struct {
		answers   []secret.Secret // to the refresh
		unordered bool
		want      string
		logged    bool
	}{
		"newer":                      {answers: []secret.Secret{at("11", 20)}, want: "11"},
		"the same":                   {answers: []secret.Secret{at("10", 10)}, want: "10"},
		"one replica lags":           {answers: []secret.Secret{at("9", 9), at("11", 20)}, want: "11"},
		"earlier by less than it is": {answers: []secret.Secret{at("9", 10), at("10", 10)}, want: "10"},
		"gone back indeed":           {answers: []secret.Secret{at("9", 9), at("8", 8)}, want: "8", logged: true},
		"numbered anew":              {answers: []secret.Secret{at("1", 30)}, want: "1"},
		"names do not tell":          {answers: []secret.Secret{at("9", 9)}, unordered: true, want: "9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &replicas{answers: append([]secret.Secret{at("10", 10)}, tt.answers...)}
			var up secret.Upstream = orderedReplicas{r}
			if tt.unordered {
				up = r
			}
			var log bytes.Buffer
			h := newHarness(t, func(c *proxy.Config) {
				lenient(c)
				c.Mounts[0].Upstream = up
				c.Mounts[0].UpstreamName = "replicas"
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			c := h.call(t, "read:one/*")
			h.read(t, c, "one/KEY")
			h.clock.pass(6*time.Minute, 6*time.Minute)
			if v, code := h.read(t, c, "one/KEY"); v != "value of "+tt.want {
				t.Errorf("got %q %q, want version %s", v, code, tt.want)
			}
			if got, want := r.reads, 1+len(tt.answers); got != want {
				t.Errorf("%d reads, want %d", got, want)
			}
			h.cache.Flush()
			for i, v := range r.given {
				if strings.Trim(string(v.Reveal()), "\x00") != "" {
					t.Errorf("what read %d gave is still in memory", i)
				}
			}
			if logged := strings.Contains(log.String(), "older version"); logged != tt.logged || h.Stats().OlderVersions > 0 != tt.logged {
				t.Errorf("logged: %v, want %v", logged, tt.logged)
			}
		})
	}
}

// An upstream that fails is tried again within the budget, then left alone while what is cached is served stale, and
// found again by one probe.
func TestGuardedUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *proxy.Config) {
			lenient(c)
			g, err := guard.New(guard.Config{Mono: c.Mono, Rand: func() float64 { return 0 }})
			must(t, err)
			for i := range c.Mounts {
				c.Mounts[i].Guard = g
			}
		})
		c := h.call(t, "read:one/*")
		for i := range 8 {
			h.vault.set(fmt.Sprintf("a/K%d", i), canary)
			h.read(t, c, fmt.Sprintf("one/K%d", i))
		}
		h.broken(secret.ErrUnavailable)
		before := h.vault.reads.Load()
		for i := range 8 {
			if v, code := h.read(t, c, fmt.Sprintf("one/K%d", i)); v != canary {
				t.Errorf("K%d: got %q, want the stale value", i, code)
			}
		}
		if got := h.vault.reads.Load() - before; got != 5 || !h.Stats().Upstreams["v"].Open {
			t.Errorf("asked %d times, want 5: then it is left alone", got)
		}
		if _, code := h.read(t, c, "one/NEVER_SEEN"); code != api.UpstreamError {
			t.Errorf("nothing cached: got %q, want upstream_error", code)
		}
		h.mended()
		h.clock.pass(2*time.Second, 2*time.Second)
		if a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/K0")}); err != nil || a.State != "stale" {
			t.Errorf("before the cooldown is over: %s, %v; want stale", a.State, err)
		} else {
			a.Release()
		}
		synctest.Wait() // the read behind that answer is withheld, too
		h.clock.pass(3*time.Second, 3*time.Second)
		for i := range 8 {
			// It failed a moment ago, so that nobody waits for it: the read behind the first stale answer brings the value.
			for _, want := range []string{"stale", "hit"} {
				a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, fmt.Sprintf("one/K%d", i))})
				must(t, err)
				if a.State != want {
					t.Errorf("K%d when the cooldown is over: %s, want %s", i, a.State, want)
				}
				a.Release()
				synctest.Wait()
			}
		}
	})
}

// Writes pass the guard too, and are never made twice.
func TestGuardedWrite(t *testing.T) {
	g, err := guard.New(guard.Config{})
	must(t, err)
	h := newHarness(t, func(c *proxy.Config) { c.Mounts[0].Guard = g })
	c := h.call(t, "write:one/*")
	h.broken(secret.ErrUnavailable)
	var e *proxy.Error
	if err := write(t, h, c, "one/KEY", "new"); !errors.As(err, &e) || e.Code != api.UpstreamError {
		t.Errorf("got %v, want upstream_error", err)
	}
	if got := g.Stats(); got.Attempts != 1 || got.Failures != 1 {
		t.Errorf("%+v, want one attempt", got)
	}
	h.mended()
	must(t, write(t, h, c, "one/KEY", "new"))
}

// A write that the open breaker keeps from the upstream has not happened: it does not cost the value that the outage is
// survived with. One that the upstream did not answer may have.
func TestWithheldWriteKeepsTheStaleValue(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		lenient(c)
		g, err := guard.New(guard.Config{Mono: c.Mono, Failures: 1, Attempts: 1})
		must(t, err)
		for i := range c.Mounts {
			c.Mounts[i].Guard = g
		}
	})
	c := h.call(t, "read:one/* write:one/*")
	h.vault.set("a/OTHER", canary)
	h.read(t, c, "one/OTHER")
	h.read(t, c, "one/KEY")
	h.broken(secret.ErrUnavailable)
	if err := write(t, h, c, "one/OTHER", "new"); codeOf(t, err) != api.UpstreamError { // opens the breaker
		t.Fatalf("got %v, want upstream_error", err)
	}
	if v, _ := h.read(t, c, "one/OTHER"); v != "" {
		t.Errorf("after a write that may have happened: got %q", v)
	}
	if err := write(t, h, c, "one/KEY", "new"); codeOf(t, err) != api.UpstreamError {
		t.Fatalf("got %v, want upstream_error", err)
	}
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("after a write that was withheld: got %q, want the stale value", code)
	}
}

// Of what the upstream answers with, only what leaves no doubt keeps the value.
func TestRefusedWriteForgets(t *testing.T) {
	for err, keeps := range map[error]bool{
		secret.ErrConflict: true, secret.ErrUnsupported: true,
		secret.ErrDenied: false, secret.ErrTooLarge: false, secret.ErrTimeout: false, secret.ErrUnavailable: false,
	} {
		h := newHarness(t, lenient)
		c := h.call(t, "read:one/* write:one/*")
		h.read(t, c, "one/KEY")
		h.broken(err)
		if write(t, h, c, "one/KEY", "new") == nil {
			t.Fatal("the write succeeds")
		}
		if v, code := h.read(t, c, "one/KEY"); (v == canary) != keeps {
			t.Errorf("%v: got %q, want the value: %v", err, code, keeps)
		}
	}
}
