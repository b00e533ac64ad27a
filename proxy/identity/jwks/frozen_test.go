package jwks_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

// steps is a wall clock that also jumps while the monotonic one, that of the bubble, does not.
type steps struct{ ahead atomic.Int64 }

func (s *steps) now() time.Time       { return time.Now().Add(time.Duration(s.ahead.Load())) }
func (s *steps) jump(d time.Duration) { s.ahead.Add(int64(d)) }

func TestFrozenTimeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		var wall steps
		s := from(t, o, jwks.Config{Wall: wall.now})
		wantKey(t, s, kid(1))
		wall.jump(24 * time.Hour)
		o.publish(set(t, 2))
		wantUnknown(t, s, kid(1)) // not from the old set
		wantKey(t, s, kid(2))
		// Nor does time stand still when the wall clock goes back.
		wall.jump(-48 * time.Hour)
		o.fail()
		time.Sleep(24 * time.Hour)
		wantUnknown(t, s, kid(2))
	})
}

// Where work between requests is frozen, a request waits for the keys itself.
func TestOverdueKeysAreFetchedWithinTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		var wall steps
		s := from(t, o, jwks.Config{Wall: wall.now})
		wantKey(t, s, kid(1))

		wall.jump(15*time.Minute - time.Nanosecond)
		o.publish(set(t, 1, 2))
		if keys := wantKey(t, s, kid(1)); keys.Has(kid(2)) {
			t.Error("keys that have just expired made a request wait")
		}
		synctest.Wait()
		wantFetches(t, o, 2)

		wall.jump(15 * time.Minute)
		o.publish(set(t, 1, 3))
		if keys := wantKey(t, s, kid(1)); !keys.Has(kid(3)) {
			t.Error("a request went on with keys long expired")
		}
		wall.jump(15 * time.Minute)
		o.publish(set(t, 3))
		wantUnknown(t, s, kid(1)) // gone, though the old set had it

		// The issuer hangs: they wait for a second, all of them together.
		wall.jump(15 * time.Minute)
		o.hold()
		began := time.Now()
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { wantKey(t, s, kid(3)) })
		}
		callers.Wait()
		wantKey(t, s, kid(3))
		if got := time.Since(began); got != jwks.Patience {
			t.Errorf("requests waited %v, want %v", got, jwks.Patience)
		}
	})
}

// A fetch that was frozen in the middle has a dead connection. It is left behind, and what it still brings is old.
func TestFrozenFetchIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		thaw := make(chan struct{})
		var fetches atomic.Int32
		var wall steps
		s := jwks.NewFrom(jwks.Config{Wall: wall.now}, func(context.Context) (*identity.KeySet, time.Duration, error) {
			if fetches.Add(1) == 1 {
				<-thaw
				return set(t, 1), 10 * time.Minute, nil
			}
			return set(t, 2), 10 * time.Minute, nil
		})
		defer closeSource(t, s)
		var callers sync.WaitGroup
		callers.Go(func() { wantKey(t, s, kid(2)) })
		synctest.Wait()
		wall.jump(jwks.FrozenAfter - time.Nanosecond)
		callers.Go(func() { wantKey(t, s, kid(2)) }) // may still be under way
		synctest.Wait()
		if got := fetches.Load(); got != 1 {
			t.Errorf("%d fetches at a time", got)
		}
		wall.jump(time.Nanosecond)
		wantKey(t, s, kid(2))
		close(thaw)
		callers.Wait()
		wantKey(t, s, kid(2))
		if got := fetches.Load(); got != 2 {
			t.Errorf("got %d fetches, want the frozen one and one in its place", got)
		}
	})
}

// Keys are as old as the fetch that brought them, which says how the issuer was when it began.
func TestAgeIsCountedFromTheBeginningOfTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(set(t, 1))
		s := from(t, o, jwks.Config{})
		release := o.hold()
		var caller sync.WaitGroup
		caller.Go(func() { wantKey(t, s, kid(1)) })
		time.Sleep(4 * time.Second)
		release()
		caller.Wait()
		time.Sleep(10*time.Minute - 4*time.Second)
		wantKey(t, s, kid(1))
		synctest.Wait()
		wantFetches(t, o, 2)
	})
}
