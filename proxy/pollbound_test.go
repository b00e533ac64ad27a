package proxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const pollEvery = 5 * time.Second

// wait lets time pass on all clocks, and what it brings about end.
func (h *harness) wait(d time.Duration) {
	for ; d > 0; d -= time.Second {
		step := min(d, time.Second)
		time.Sleep(step)
		h.clock.pass(step, step)
		synctest.Wait()
	}
}

// visible is how long after a write behind the proxy its value is served to who asks each second; a minute past the soft
// TTL it gives up.
func (h *harness) visible(t *testing.T, c *proxy.Call, v *polled, name, value string) time.Duration {
	t.Helper()
	v.write(t, "a/"+name, value)
	for d := time.Duration(0); d < 2*time.Minute; d += time.Second {
		if got, _ := h.read(t, c, "one/"+name); got == value {
			return d
		}
		h.wait(time.Second)
	}
	t.Errorf("%s is not served", value)
	return 0
}

// The bound of who only waits is the soft TTL and one read more, of who polls the interval, and of who is told none. The
// clocks are simulated, so that the bounds are exact.
func TestRotationsAreSeenWithinTheirBounds(t *testing.T) {
	const soft = time.Minute
	for name, row := range map[string]struct {
		interval     time.Duration
		told         bool
		least, bound time.Duration
	}{
		"waits": {0, false, 50 * time.Second, soft + time.Second},
		"polls": {pollEvery, false, time.Second, pollEvery},
		"told":  {0, true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, v := withPollingEvery(t, row.interval, 10)
				c := h.call(t, "read:** invalidate:**")
				for _, value := range []string{"new", "newer", "newest"} {
					h.read(t, c, "one/KEY")
					h.wait(time.Second / 2)
					if row.told {
						v.write(t, "a/KEY", value)
						_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/KEY")})
						must(t, err)
						if got, _ := h.read(t, c, "one/KEY"); got != value {
							t.Errorf("got %q after it was told, want %q", got, value)
						}
						continue
					}
					if d := h.visible(t, c, v, "KEY", value); d < row.least || d > row.bound {
						t.Errorf("%s is served %v after it was written, want %v to %v", value, d, row.least, row.bound)
					}
				}
			})
		})
	}
}

// What the upstream does not tell us of one object makes nothing of the others later, and is asked for less and less often.
func TestPollingIsDeniedOneObject(t *testing.T) {
	for _, fail := range []error{secret.ErrDenied, secret.ErrTooLarge, secret.ErrUnreadable} {
		synctest.Test(t, func(t *testing.T) { deniedOneObject(t, fail) })
	}
}

func deniedOneObject(t *testing.T, fail error) {
	t.Helper()
	h, v := withPollingEvery(t, pollEvery, 10)
	v.deny("a/OTHER", fail)
	c := h.call(t, "read:**")
	h.read(t, c, "one/KEY")
	h.read(t, c, "one/OTHER")
	h.wait(50 * time.Second) // less than the soft TTL, so that nothing is read anew
	if all, few := v.askedFor("a/KEY"), v.askedFor("a/OTHER"); all < 9 || few > 4 {
		t.Errorf("asked for one object %d times in ten rounds, and %d times for the one that is denied", all, few)
	}
	if d := h.visible(t, c, v, "KEY", "new"); d > pollEvery {
		t.Errorf("the other object is seen changed after %v, want %v at most", d, pollEvery)
	}
	// One answer, and it begins anew.
	v.deny("a/OTHER", nil)
	n := v.askedFor("a/OTHER")
	for v.askedFor("a/OTHER") == n {
		time.Sleep(pollEvery) // for the poller; what is cached does not age
		synctest.Wait()
	}
	v.deny("a/OTHER", fail)
	time.Sleep(3 * pollEvery)
	synctest.Wait()
	if got := v.askedFor("a/OTHER") - n; got < 3 {
		t.Errorf("asked %d times when it was denied again, want soon again", got)
	}
}

// However long the upstream was away, what changed meanwhile is seen soon after it is back.
func TestPollingComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPollingEvery(t, pollEvery, 10)
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		v.setFail(secret.ErrUnavailable)
		time.Sleep(10 * time.Minute) // for the poller; the cached value does not age
		if n := v.count(); n < 10 || n > 30 {
			t.Errorf("asked %d times in ten minutes without an answer, want one each half minute", n)
		}
		v.setFail(nil)
		v.write(t, "a/KEY", "new")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got, _ := h.read(t, c, "one/KEY"); got != "new" {
			t.Errorf("got %q half a minute after the upstream is back", got)
		}
	})
}

// A replica that lags behind takes nothing newer from the cache.
func TestPollingDoesNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPollingEvery(t, pollEvery, 10)
		old, err := v.Vault.Read(t.Context(), "a/KEY", secret.Current)
		must(t, err)
		before, err := v.Vault.Versions(t.Context(), "a/KEY")
		must(t, err)
		h.clock.pass(time.Minute, time.Minute)
		v.write(t, "a/KEY", "new")
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		v.mu.Lock()
		v.lags, v.told = old, before
		v.mu.Unlock()
		h.wait(2 * pollEvery)
		v.mu.Lock()
		lagged := v.lags == nil
		v.told = nil
		v.mu.Unlock()
		if got, _ := h.read(t, c, "one/KEY"); got != "new" || !lagged {
			t.Errorf("got %q (the replica was read: %t), want the newer value", got, lagged)
		}
	})
}

// An answer that was overtaken by a read takes nothing from the cache.
func TestPollingIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPollingEvery(t, pollEvery, 10)
		c := h.call(t, "read:** invalidate:**")
		h.read(t, c, "one/KEY")
		v.write(t, "a/KEY", "new")
		v.mu.Lock()
		v.lag = func(string) {
			v.mu.Lock()
			v.lag = nil
			v.mu.Unlock()
			_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/KEY")})
			must(t, err)
			h.read(t, c, "one/KEY")
		}
		v.mu.Unlock()
		h.wait(pollEvery)
		loads := h.Stats().Cache.Loads
		if got, _ := h.read(t, c, "one/KEY"); got != "new" || loads != 2 || h.Stats().Cache.Loads != loads {
			t.Errorf("got %q after %d reads of the upstream, want the new value after 2", got, loads)
		}
	})
}

// What nobody asks for any more is asked of the upstream no longer than its hard TTL.
func TestPollingEndsWithTheHardTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPollingEvery(t, pollEvery, 1)
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		h.wait(6 * time.Minute)
		n := v.count()
		h.wait(time.Minute)
		if got := v.count(); got != n || n < 50 {
			t.Errorf("asked %d times before the hard TTL, and %d after it", n, got-n)
		}
		h.read(t, c, "one/OTHER") // there is room for it
		h.wait(pollEvery)
		if v.askedFor("a/OTHER") == 0 {
			t.Error("what is read next is not watched")
		}
	})
}

// The previous version is watched as the current one is; a version by its own name cannot change.
func TestPollingOfVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, v := withPollingEvery(t, pollEvery, 10)
		v.write(t, "a/KEY", "newer")
		c := h.call(t, "read:**")
		get := func(version secret.Version) string {
			a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Version: version})
			must(t, err)
			defer a.Release()
			return string(a.Value.Reveal())
		}
		get("1")
		h.wait(3 * pollEvery)
		if n := v.count(); n != 0 {
			t.Errorf("a version by its name is asked for %d times", n)
		}
		if got := get(secret.Previous); got != "old" {
			t.Fatalf("the previous version is %q", got)
		}
		loads := h.Stats().Cache.Loads
		h.wait(3 * pollEvery)
		get(secret.Previous)
		if got := h.Stats().Cache.Loads; got != loads {
			t.Errorf("what did not change was read %d times more", got-loads)
		}
		v.write(t, "a/KEY", "newest")
		h.wait(pollEvery)
		if got := get(secret.Previous); got != "newer" {
			t.Errorf("the previous version is %q after a rotation, want the one that was current", got)
		}
	})
}
