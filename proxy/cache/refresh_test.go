package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Refresh reads the rejected version of an entry anew, at most once a second, and nothing else.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		k, up := key(t, "one"), &upstream{}
		refresh := func(v secret.Version, want bool, why string) {
			t.Helper()
			if got := c.Refresh(k, v, ttl, up.load); got != want {
				t.Errorf("%s: got %t, want %t", why, got, want)
			}
		}
		refresh("1", false, "nothing is cached")
		get(t, c, k, up)
		refresh("1", false, "it was read just now")
		time.Sleep(2 * time.Second)
		refresh("0", false, "another version is cached")
		leave := make(chan struct{})
		up.before = func(context.Context) { <-leave }
		refresh("1", true, "the cached version")
		synctest.Wait()
		refresh("1", false, "one is under way")
		if n, s, _ := get(t, c, k, up); n != 1 || s != cache.Hit {
			t.Errorf("got version %d (%s) while the refresh is under way, want the entry", n, s)
		}
		close(leave)
		synctest.Wait()
		if n, s, _ := get(t, c, k, up); n != 2 || s != cache.Hit {
			t.Errorf("got version %d (%s), want the one read anew", n, s)
		}
		time.Sleep(2 * time.Second)
		refresh("1", false, "the entry has moved on")
		up.fail(errUpstream)
		refresh("2", true, "the upstream fails")
		synctest.Wait()
		refresh("2", false, "it failed just now")
		if n, _, _ := get(t, c, k, up); n != 2 || up.count() != 3 {
			t.Errorf("got version %d after %d reads, want the entry after 3", n, up.count())
		}
	})
}

// Where nothing may run in the background, the next Get reads.
func TestRefreshWaitsWhereRefreshesAreInline(t *testing.T) {
	clock, up := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clock.Wall, Mono: clock.Mono, RefreshInline: true})
	k := key(t, "one")
	get(t, c, k, up)
	clock.pass(2 * time.Second)
	if !c.Refresh(k, "1", ttl, up.load) || up.count() != 1 {
		t.Errorf("got %d reads, want the refresh to wait for the next Get", up.count())
	}
	for range 2 {
		if n, _, _ := get(t, c, k, up); n != 2 {
			t.Errorf("got version %d, want the one read anew, once", n)
		}
	}
}
