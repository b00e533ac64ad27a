package proxy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// entering is a request at the door.
func entering(ctx context.Context, h *harness) <-chan error {
	out := make(chan error, 1)
	go func() { out <- h.Enter(ctx, false) }()
	return out
}

// A request that finds no place takes the next one that becomes free, after those that came before it.
func TestRequestsWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, limited(proxy.Limits{InFlight: 1}))
		must(t, h.Enter(t.Context(), false))
		first := entering(t.Context(), h)
		synctest.Wait()
		second := entering(t.Context(), h)
		synctest.Wait()
		h.Leave()
		synctest.Wait()
		select {
		case err := <-first:
			must(t, err)
		default:
			t.Fatal("the first did not get the place")
		}
		select {
		case err := <-second:
			t.Fatalf("the second got %v while the place is taken", err)
		default:
		}
		h.Leave()
		must(t, <-second)
		h.Leave()
		must(t, h.Enter(t.Context(), false))
		h.Leave()
	})
}

// A place that comes from more being allowed goes to who waits, not to who comes after.
func TestNobodyPassesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := proxy.Rules{}
		h := newHarness(t, func(c *proxy.Config) {
			c.Limits = proxy.Limits{InFlight: 1}
			rules = proxy.Rules{Verifier: c.Verifier, Authorizer: c.Authorizer, Limits: proxy.Limits{InFlight: 2}}
		})
		must(t, h.Enter(t.Context(), false))
		first := entering(t.Context(), h)
		synctest.Wait()
		_, err := h.SetRules(rules)
		must(t, err)
		second := entering(t.Context(), h)
		synctest.Wait()
		select {
		case err := <-first:
			must(t, err)
		default:
			t.Fatal("the first still waits")
		}
		select {
		case err := <-second:
			t.Fatalf("the second got %v while both places are taken", err)
		default:
		}
		h.Leave()
		h.Leave()
		must(t, <-second)
		h.Leave()
	})
}

// Nobody waits for long, or for a client that is gone, and who gave up takes no place.
func TestWaitingForAPlaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, limited(proxy.Limits{InFlight: 1}))
		must(t, h.Enter(t.Context(), false))
		start := time.Now()
		if err := h.Enter(t.Context(), false); codeOf(t, err) != api.Overloaded {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited <= 0 || waited > time.Second {
			t.Errorf("waited for %v", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := entering(ctx, h)
		synctest.Wait()
		cancel()
		start = time.Now()
		if err := <-gone; codeOf(t, err) != api.Overloaded || time.Since(start) > 0 {
			t.Errorf("whose client is gone: got %v after %v", err, time.Since(start))
		}
		h.Leave()
		must(t, h.Enter(t.Context(), false))
		h.Leave()
		if n := proxy.Waiting(h.Proxy); n != 0 {
			t.Errorf("%d requests are said to wait, want none", n)
		}
	})
}

// While a request waits for its client it has no place, and it gets one afterwards only where there is room for writes.
func TestAwaitingAClientTakesNoPlace(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{InFlight: 1}))
	must(t, h.Enter(t.Context(), true))
	must(t, h.Await(func() {
		must(t, h.Enter(t.Context(), false))
		h.Leave()
	}))
	err := h.Await(func() { must(t, h.Enter(t.Context(), true)) })
	if codeOf(t, err) != api.Overloaded {
		t.Errorf("with its place taken: got %v", err)
	}
	h.Leave()
	if err := h.Enter(t.Context(), true); codeOf(t, err) != api.Overloaded {
		t.Errorf("one of two has left: got %v", err)
	}
	h.Leave()
	must(t, h.Enter(t.Context(), true))
	h.Leave()
}

// A wait that panics gives the place of its request back once, not twice.
func TestAwaitingThatPanicsLosesNoPlace(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{InFlight: 1}))
	must(t, h.Enter(t.Context(), true))
	func() {
		defer func() { _ = recover() }()
		_ = h.Await(func() { panic("the body broke") })
	}()
	h.Leave()
	must(t, h.Enter(t.Context(), true))
	if err := h.Enter(t.Context(), true); codeOf(t, err) != api.Overloaded {
		t.Errorf("a second request got %v while the only place is taken", err)
	}
	h.Leave()
}

// Any number of requests at the same time: all get their turn, and never more than may be in flight.
func TestPlacesUnderContention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, callers, rounds = 3, 24, 50
		h := newHarness(t, limited(proxy.Limits{InFlight: most}))
		places := make(chan struct{}, most)
		done := make(chan error)
		for range callers {
			go func() {
				for range rounds {
					if err := h.Enter(t.Context(), false); err != nil {
						done <- err
						return
					}
					select {
					case places <- struct{}{}:
					default:
						t.Error("more are in flight than may be")
					}
					<-places
					h.Leave()
				}
				done <- nil
			}()
		}
		for range callers {
			must(t, <-done)
		}
	})
}

// Of two things at the same moment, a place that becomes free and the end of waiting for one, either may come first, and no
// place is lost.
func TestPlaceAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, limited(proxy.Limits{InFlight: 1}))
		for range 200 {
			must(t, h.Enter(t.Context(), false))
			ctx, cancel := context.WithCancel(t.Context())
			waits := entering(ctx, h)
			synctest.Wait()
			cancel()
			h.Leave()
			if err := <-waits; err == nil {
				h.Leave()
			}
			start := time.Now()
			if must(t, h.Enter(t.Context(), false)); time.Since(start) > 0 {
				t.Fatal("a place was lost")
			}
			h.Leave()
		}
	})
}

// What is kept for reads from the cache is not for requests whose body has arrived.
func TestABodyTakesNoPlaceOfReads(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{InFlight: 4}))
	must(t, h.Enter(t.Context(), true))
	err := h.Await(func() {
		for range 3 {
			must(t, h.Enter(t.Context(), false))
		}
	})
	if codeOf(t, err) != api.Overloaded {
		t.Errorf("got %v, want overloaded: the last of four places is for reads", err)
	}
	for range 4 {
		h.Leave()
	}
}
