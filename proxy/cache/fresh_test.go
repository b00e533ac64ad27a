package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Fresh reads whatever is held, replaces it, and answers with an error rather than with something older.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		k, up := key(t, "one"), &upstream{}
		fresh := func() (secret.Version, error) {
			h, err := c.Fresh(t.Context(), k, ttl, up.load)
			if err != nil {
				return "", err
			}
			defer h.Release()
			if h.State() != cache.Miss {
				t.Errorf("state: got %s, want miss", h.State())
			}
			return h.Secret().Version, nil
		}
		get(t, c, k, up)
		time.Sleep(ttl.Soft / 2)
		if v, err := fresh(); v != "2" || err != nil {
			t.Errorf("got version %q (%v), want the second", v, err)
		}
		time.Sleep(ttl.Soft / 2) // past the soft TTL of the first one
		if n, s, _ := get(t, c, k, up); n != 2 || s != cache.Hit || up.count() != 2 {
			t.Errorf("got version %d (%s) after %d reads, want the one read anew, from the cache", n, s, up.count())
		}
		up.fail(errUpstream)
		if v, err := fresh(); !errors.Is(err, errUpstream) {
			t.Errorf("got %q (%v), want the upstream's error", v, err)
		}
		if n, s, _ := get(t, c, k, up); n != 2 || s != cache.Hit {
			t.Errorf("got version %d (%s), want what was held before the failure", n, s)
		}
	})
}

// Nobody who asks for what is there now gets what was read before, and all who ask at one time cost one read.
func TestFreshJoinsNoEarlierRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		k, up := key(t, "one"), &upstream{}
		leave := make(chan struct{})
		up.before = func(context.Context) { <-leave }
		var wg sync.WaitGroup
		read := func(how func(context.Context, cache.Key, cache.TTL, cache.Load) (cache.Handle, error), want secret.Version) {
			wg.Go(func() {
				h, err := how(t.Context(), k, ttl, up.load)
				if err != nil {
					t.Errorf("want version %s: %v", want, err)
					return
				}
				if got := h.Secret().Version; got != want {
					t.Errorf("got version %s, want %s", got, want)
				}
				h.Release()
			})
		}
		read(c.Get, "1")
		synctest.Wait()
		for range 5 {
			read(c.Fresh, "2")
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Fresh(impatient, k, ttl, up.load); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the caller's patience", err)
		}
		leave <- struct{}{} // the first read ends, and all who came meanwhile are in the second
		synctest.Wait()
		leave <- struct{}{}
		wg.Wait()
		if got := up.count(); got != 2 {
			t.Errorf("%d reads, want one for who was first and one for all the others", got)
		}
	})
}
