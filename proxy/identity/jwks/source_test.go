package jwks_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

func TestExpiredKeysServeWhileNewOnesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		time.Sleep(10*time.Minute - time.Nanosecond)
		wantKey(t, s, kid(1))
		wantFetches(t, o, 1)

		o.publish(set(t, 1, 2))
		release := o.hold()
		time.Sleep(time.Nanosecond)
		for range 3 {
			if keys := wantKey(t, s, kid(1)); keys.Has(kid(2)) {
				t.Fatal("the new set is there before it was fetched")
			}
		}
		synctest.Wait()
		release()
		synctest.Wait()
		if keys := wantKey(t, s, kid(1)); !keys.Has(kid(2)) {
			t.Error("the old set still serves")
		}
		wantFetches(t, o, 1)
	})
}

func TestOldKeysServeForADay(t *testing.T) {
	for _, fresh := range []time.Duration{5 * time.Minute, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(set(t, 1))
			o.fresh = fresh
			s := from(t, o, jwks.Config{})
			wantKey(t, s, kid(1))
			o.asked()
			o.fail()
			time.Sleep(23*time.Hour + 59*time.Minute)
			wantKey(t, s, kid(1))
			synctest.Wait()
			wantFetches(t, o, 1) // before they are too old, even where they are still good
			time.Sleep(time.Minute)
			wantUnknown(t, s, kid(1))
			o.publish(set(t, 1))
			time.Sleep(jwks.LongestPause)
			wantKey(t, s, kid(1))
		})
	}
}

// Has says what Keys could give at once, and fetches nothing.
func TestHasAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		if s.Has(kid(1)) {
			t.Error("a key is at hand before any was fetched")
		}
		synctest.Wait()
		wantFetches(t, o, 0)
		wantKey(t, s, kid(1))
		if !s.Has(kid(1)) || s.Has(kid(2)) {
			t.Errorf("got %v for a key that was fetched, %v for another", s.Has(kid(1)), s.Has(kid(2)))
		}
		time.Sleep(24 * time.Hour)
		if s.Has(kid(1)) {
			t.Error("a key that is too old is at hand")
		}
		synctest.Wait()
		wantFetches(t, o, 1)
	})
}

func TestFirstFetchIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		release := o.hold()
		s := from(t, o, jwks.Config{})
		var got sync.WaitGroup
		// The one who begins it does not wait to the end.
		ctx, cancel := context.WithCancel(t.Context())
		got.Go(func() {
			_, err := s.Keys(ctx, kid(1))
			if !errors.Is(err, context.Canceled) || errors.Is(err, identity.ErrUnknownKey) {
				t.Errorf("the first caller: got %v, want its own cancellation", err)
			}
		})
		synctest.Wait()
		for range 500 { // more than may wait where there are keys
			got.Go(func() { wantKey(t, s, kid(1)) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if o.going.Load() != 1 {
			t.Error("the fetch ended with the request that began it")
		}
		release()
		got.Wait()
		wantFetches(t, o, 1)
	})
}

// A fetch that began for a caller answers him, whatever it brings.
func TestOneFetchForOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantUnknown(t, s, "nobody's")
		wantFetches(t, o, 1)
		wantUnknown(t, s, "nobody's")
		wantFetches(t, o, 1)
		wantUnknown(t, s, "nobody's")
		wantFetches(t, o, 0)
		wantKey(t, s, kid(1))
	})
}

// Hostile kids: 10^5 in five minutes, from many callers at a time.
func TestStormOfUnknownKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		o.asked()
		storm := func() *sync.WaitGroup {
			var callers sync.WaitGroup
			for range 500 {
				callers.Go(func() {
					for range 20 {
						if wait := wantUnknown(t, s, "nobody's"); wait > jwks.MissPause {
							t.Errorf("RetryAfter: got %v", wait)
						}
					}
				})
			}
			return &callers
		}
		for range 10 {
			// While the issuer is slow, those whose key is known do not notice.
			release := o.hold()
			callers := storm()
			synctest.Wait()
			began := time.Now()
			for range 100 {
				wantKey(t, s, kid(1))
			}
			if d := time.Since(began); d != 0 {
				t.Errorf("callers with a known key waited %v", d)
			}
			release()
			callers.Wait()
			wantFetches(t, o, 1)
			time.Sleep(jwks.MissPause - time.Nanosecond)
			if wait := wantUnknown(t, s, "nobody's"); wait != time.Second {
				t.Errorf("RetryAfter: got %v, want at least a second", wait)
			}
			wantFetches(t, o, 0)
			time.Sleep(time.Nanosecond)
		}
	})
}

// However slow the issuer is, callers with unknown kids do not pile up.
func TestFewWaitForUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		release := o.hold()
		var waiting atomic.Int32
		var callers sync.WaitGroup
		for range 3 * jwks.MaxWaiting {
			waiting.Add(1)
			callers.Go(func() {
				wantUnknown(t, s, "nobody's")
				waiting.Add(-1)
			})
		}
		synctest.Wait()
		if got := waiting.Load(); got != jwks.MaxWaiting {
			t.Errorf("%d callers wait, want %d", got, jwks.MaxWaiting)
		}
		release()
		callers.Wait()
		// Their places are free again.
		time.Sleep(jwks.MissPause)
		o.publish(set(t, 1, 2))
		wantKey(t, s, kid(2))
	})
}

// Nor do they where there are no keys yet: an issuer that does not answer would let anybody who names it hold all places.
func TestFewWaitForASlowFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		release := o.hold()
		s := from(t, o, jwks.Config{})
		var waiting atomic.Int32
		var callers sync.WaitGroup
		come := func(n int) {
			for range n {
				waiting.Add(1)
				callers.Go(func() {
					keys, err := s.Keys(t.Context(), kid(1))
					if err != nil && !errors.Is(err, identity.ErrUnknownKey) || err == nil && !keys.Has(kid(1)) {
						t.Errorf("got %v, %v", keys, err)
					}
					waiting.Add(-1)
				})
			}
			synctest.Wait()
		}
		come(3 * jwks.MaxWaitingFirst)
		if got := waiting.Load(); got != jwks.MaxWaitingFirst {
			t.Errorf("at first %d callers wait, want %d", got, jwks.MaxWaitingFirst)
		}
		time.Sleep(jwks.Patience)
		synctest.Wait()
		if got := waiting.Load(); got != jwks.MaxWaiting {
			t.Errorf("then %d callers wait, want %d", got, jwks.MaxWaiting)
		}
		come(jwks.MaxWaiting)
		if got := waiting.Load(); got != jwks.MaxWaiting {
			t.Errorf("with those who come later %d callers wait, want %d", got, jwks.MaxWaiting)
		}
		release()
		callers.Wait()
		wantKey(t, s, kid(1))
		wantFetches(t, o, 1)
	})
}

// The issuer signs with a new key as soon as it publishes it. Nobody fails, whichever key they come with, and those who
// come while a fetch goes on that has not seen the new key get another one.
func TestRotationWithoutAFailedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		for n := byte(2); n < 20; n++ {
			before, after := kid(n-1), kid(n)
			time.Sleep(10 * time.Minute)
			release := o.hold()
			wantKey(t, s, before) // begins a fetch that sees only the old keys
			synctest.Wait()
			o.publish(set(t, n-1, n))
			var callers sync.WaitGroup
			for range jwks.MaxWaiting {
				callers.Go(func() { wantKey(t, s, after) })
				callers.Go(func() { wantKey(t, s, before) })
			}
			synctest.Wait()
			release()
			callers.Wait()
		}
	})
}

func TestKeysThatTheIssuerTakesAwayAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1, 2))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		o.publish(set(t, 2))
		time.Sleep(10 * time.Minute)
		wantKey(t, s, kid(1)) // for the last time
		synctest.Wait()
		wantUnknown(t, s, kid(1))
		wantKey(t, s, kid(2))
		o.publish(set(t))
		time.Sleep(20 * time.Minute)
		wantUnknown(t, s, kid(2)) // it waited for the set that has none
	})
}

func TestFailuresKeepTheOldKeysAndBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		var log logs
		s := from(t, o, jwks.Config{Logger: log.logger(), Rand: func() float64 { return 0 }})
		wantKey(t, s, kid(1))
		o.asked()
		o.fail()
		time.Sleep(10 * time.Minute)
		began, tries := time.Now(), []time.Duration{}
		for time.Since(began) < 4*time.Minute {
			wantKey(t, s, kid(1))
			synctest.Wait()
			if o.asked() > 0 {
				tries = append(tries, time.Since(began)/time.Second)
			}
			time.Sleep(time.Second)
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}
		if len(tries) != len(want) {
			t.Fatalf("fetched at %d, want %d", tries, want)
		}
		for i := range want {
			if tries[i] != want[i] {
				t.Fatalf("fetched at %d, want %d", tries, want)
			}
		}
		if text := log.String(); !strings.Contains(text, "out of order") || !strings.Contains(text, issuerURL) || !strings.Contains(text, `serving="old keys"`) {
			t.Errorf("the log does not say which issuer failed and why: %s", text)
		}
		o.publish(set(t, 1, 2))
		time.Sleep(time.Minute)
		wantKey(t, s, kid(1))
		synctest.Wait()
		wantKey(t, s, kid(2))
		// Pauses are short again.
		o.fail()
		time.Sleep(10 * time.Minute)
		o.asked()
		for range 2 {
			wantKey(t, s, kid(1))
			synctest.Wait()
			wantFetches(t, o, 1)
			time.Sleep(time.Second)
		}
	})
}

func TestPausesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(nil)
		o.fail()
		s := from(t, o, jwks.Config{Rand: func() float64 { return 0.5 }})
		for _, want := range []time.Duration{1000, 1500, 3000, 6000, 12000, 24000, 45000, 45000} { // at least a second is said
			if got := wantUnknown(t, s, kid(1)); got != want*time.Millisecond {
				t.Errorf("RetryAfter: got %v, want %v", got, want*time.Millisecond)
			}
			wantFetches(t, o, 1)
			wantUnknown(t, s, kid(1))
			wantFetches(t, o, 0)
			time.Sleep(want * time.Millisecond)
		}
	})
}

// An unknown kid is not what gets an issuer asked more often that is down.
func TestUnknownKidsWhileTheIssuerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		wantKey(t, s, kid(1))
		o.fail()
		o.asked()
		for range 300 {
			wantUnknown(t, s, "nobody's")
			wantKey(t, s, kid(1))
			time.Sleep(time.Second)
		}
		if n := o.asked(); n > 10 {
			t.Errorf("%d fetches in 300s", n)
		}
	})
}

func TestBundledKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(nil)
		o.fail()
		s := from(t, o, jwks.Config{Bundled: set(t, 1, 2)})
		for range 100 { // days without the issuer
			wantKey(t, s, kid(1))
			time.Sleep(time.Hour)
		}
		wantUnknown(t, s, kid(3))
		time.Sleep(time.Minute)
		o.publish(set(t, 2, 3))
		wantKey(t, s, kid(1)) // the one that begins a fetch
		synctest.Wait()
		wantKey(t, s, kid(3))
		wantUnknown(t, s, kid(1)) // the issuer knows better
		// From now on they are as old as any.
		o.fail()
		time.Sleep(24 * time.Hour)
		wantUnknown(t, s, kid(1))
		wantUnknown(t, s, kid(3))
	})
}

func TestCloseEndsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{Bundled: set(t, 2)})
		o.hold()
		var caller sync.WaitGroup
		caller.Go(func() { wantUnknown(t, s, kid(1)) })
		synctest.Wait()
		closeSource(t, s)
		if o.going.Load() != 0 {
			t.Error("a fetch goes on after Close")
		}
		caller.Wait()
		o.asked()
		time.Sleep(time.Hour)
		wantKey(t, s, kid(2))
		wantUnknown(t, s, kid(1))
		wantFetches(t, o, 0)
	})
}
