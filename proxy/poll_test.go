package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// polled is a vault that others write to, and that counts who asks for versions.
type polled struct {
	*embedded.Vault
	mu    sync.Mutex
	fail  error
	fails map[string]error // of one object
	asked map[string]int
	calls int
	lag   func(name string)    // where not nil, what is told is what was so before it is called
	lags  *secret.Secret       // where not nil, what the next read returns
	told  []secret.VersionInfo // where not nil, what is told
}

func (v *polled) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	v.mu.Lock()
	v.asked[name]++
	v.calls++
	fail, lag, lagging := v.fail, v.lag, v.told
	if fail == nil {
		fail = v.fails[name]
	}
	v.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	if lagging != nil {
		return lagging, nil
	}
	told, err := v.Vault.Versions(ctx, name)
	if lag != nil {
		lag(name)
	}
	return told, err
}

func (v *polled) Read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	v.mu.Lock()
	lags := v.lags
	v.lags = nil
	v.mu.Unlock()
	if lags != nil {
		return lags, nil
	}
	return v.Vault.Read(ctx, name, version)
}

func (v *polled) setFail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fail = err
}

func (v *polled) deny(name string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fails[name] = err
}

func (v *polled) askedFor(name string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[name]
}

func (v *polled) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// write changes a secret behind the back of the proxy.
func (v *polled) write(t *testing.T, name, value string) {
	t.Helper()
	_, _, err := v.Write(t.Context(), name, secret.Write{Secret: text(value)})
	must(t, err)
}

// withPolling is the harness on a vault that is polled. Its clocks stand still: no TTL ends.
func withPolling(t *testing.T, maxPaths int) (*harness, *polled) {
	t.Helper()
	return withPollingEvery(t, pollEvery, maxPaths)
}

// withPollingEvery is withPolling with an interval of the test's own, 0 being none.
func withPollingEvery(t *testing.T, interval time.Duration, maxPaths int) (*harness, *polled) {
	t.Helper()
	e, err := embedded.Open(embedded.Config{Path: filepath.Join(t.TempDir(), "vault.db"), Key: bytes.Repeat([]byte{1}, embedded.KeyBytes)})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	v := &polled{Vault: e, asked: map[string]int{}, fails: map[string]error{}}
	for _, name := range []string{"a/KEY", "a/OTHER", "a/THIRD"} {
		v.write(t, name, "old")
	}
	return newHarness(t, func(c *proxy.Config) {
		for i := range c.Mounts {
			c.Mounts[i].Upstream = v
			c.Mounts[i].TTL.Stale = time.Hour
			c.Mounts[i].Poll = proxy.Poll{Interval: interval, MaxPaths: maxPaths}
		}
	}), v
}

// until waits for what happens beside the test; the test's own timeout ends it.
func until(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// polling is until for what polls bring about, in a bubble: time passes for the poller alone, and never while a read is on
// its way into the cache.
func polling(done func() bool) {
	for !done() {
		time.Sleep(pollEvery)
		synctest.Wait()
	}
}

func TestPollingSeesWhatOthersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPolling(t, 10)
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		h.read(t, c, "two/KEY")
		v.write(t, "a/KEY", "new")
		for _, p := range []string{"one/KEY", "two/KEY"} {
			polling(func() bool { got, _ := h.read(t, c, p); return got == "new" })
		}
		before := h.Generation()
		must(t, v.Delete(t.Context(), "a/KEY"))
		polling(func() bool { _, code := h.read(t, c, "one/KEY"); return code != "" })
		if h.Generation() != before {
			t.Error("what one node finds is a fact for all")
		}
	})
}

// What has not changed stays cached, and is asked for no value.
func TestPollingLeavesWhatIsCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPolling(t, 10)
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		n := v.count()
		polling(func() bool { return v.count() > n+5 })
		if s := h.Stats().Cache; s.Loads != 1 {
			t.Errorf("got %d reads of the upstream, want 1", s.Loads)
		}
		h.clock.pass(6*time.Minute, 6*time.Minute)
		h.read(t, c, "one/KEY")
		if s := h.Stats().Cache; s.Loads != 2 {
			t.Errorf("got %d reads after the hard TTL, want 2: polling makes nothing live longer", s.Loads)
		}
	})
}

// A failure of the upstream takes nothing from the cache, and polling goes on after it.
func TestPollingSurvivesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noMount := fmt.Errorf("%w: %w", secret.ErrUnavailable, secret.ErrNotFound)
		for _, fail := range []error{secret.ErrUnavailable, secret.ErrDenied, noMount} {
			h, v := withPolling(t, 10)
			c := h.call(t, "read:**")
			v.setFail(fail)
			h.read(t, c, "one/KEY")
			polling(func() bool { return v.count() > 3 })
			v.write(t, "a/KEY", "new")
			if got, code := h.read(t, c, "one/KEY"); got != "old" {
				t.Errorf("%v: got %q %q, want what is cached", fail, got, code)
			}
			v.setFail(nil)
			polling(func() bool { got, _ := h.read(t, c, "one/KEY"); return got == "new" })
		}
	})
}

// No more paths than max_paths are asked for, and only as long as they are cached.
func TestPollingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPolling(t, 2)
		c := h.call(t, "read:** invalidate:**")
		for _, p := range []string{"one/KEY", "one/OTHER", "one/THIRD"} {
			h.read(t, c, p)
		}
		n := v.count()
		polling(func() bool { return v.count() > n+10 })
		v.mu.Lock()
		if v.asked["a/THIRD"] != 0 || v.asked["a/KEY"] == 0 || v.asked["a/OTHER"] == 0 {
			t.Errorf("asked for %v, want the first two", v.asked)
		}
		v.mu.Unlock()
		for _, p := range []string{"one/KEY", "one/OTHER", "one/THIRD"} {
			_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, p)})
			must(t, err)
		}
		// Room is made for what is read next.
		polling(func() bool {
			_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/THIRD")})
			must(t, err)
			h.read(t, c, "one/THIRD")
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.asked["a/THIRD"] > 0
		})
	})
}
