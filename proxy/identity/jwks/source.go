package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Source is the keys of one issuer. It is safe for concurrent use.
type Source struct {
	fetch  fetcher
	clock  clock
	random func() float64
	log    *slog.Logger

	ctx     context.Context // of the source: it ends at Close
	cancel  context.CancelFunc
	running sync.WaitGroup // flights

	current atomic.Pointer[held] // nil: none yet

	mu       sync.Mutex
	closed   bool
	flight   *flight // the fetch that is going on; nil is none
	begun    uint64  // flights so far
	landed   uint64  // the number of the last flight that ended
	failures int     // in a row
	failed   moment  // the last of them
	pause    time.Duration
	missed   moment // when a flight was last begun for a kid that the set lacks
	missing  bool   // missed is set
	waiting  int    // callers that wait for a flight and have nothing to go on with
}

// flight is one fetch, for everybody who waits for it.
type flight struct {
	number uint64
	began  moment
	cancel context.CancelFunc
	done   chan struct{}
}

// wait returns nil when the flight has ended.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endsWithin waits for so long at most and reports whether the flight has ended.
func (f *flight) endsWithin(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f.wait(ctx) == nil
}

// Keys returns the issuer's keys, among which is one of this kid: at once where they are known, after a fetch where that
// may bring them. Otherwise the error is an *identity.UnknownKeyError, or that of ctx, wrapped, when it ended first. After
// Close nothing is fetched any more, and what is known serves on.
func (s *Source) Keys(ctx context.Context, kid string) (*identity.KeySet, error) {
	now := s.clock.now()
	if h := s.current.Load(); h != nil && !h.due(now) && h.keys.Has(kid) {
		return h.keys, nil
	}
	s.mu.Lock()
	arrived := s.begun
	s.mu.Unlock()
	for {
		keys, f, err := s.look(kid, arrived)
		if f == nil {
			return keys, err
		}
		if keys != nil {
			if !f.endsWithin(ctx, patience-s.clock.now().since(f.began)) {
				return keys, nil
			}
			continue
		}
		err = s.await(ctx, f)
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("waiting for an issuer's keys: %w", err)
		}
	}
}

// await waits until the fetch has ended, or is so old that there is room for fewer who wait. Its error is that of ctx.
func (s *Source) await(ctx context.Context, f *flight) error {
	young := patience - s.clock.now().since(f.began)
	if young <= 0 {
		return f.wait(ctx)
	}
	if f.endsWithin(ctx, young) {
		return nil
	}
	return ctx.Err()
}

// look says what a caller gets who came when so many flights had begun: keys, an error, or a flight to wait for, then
// with the keys to go on with when it takes too long, or counted among those who have none.
func (s *Source) look(kid string, arrived uint64) (*identity.KeySet, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	h := s.current.Load()
	if h != nil && h.dead(now) {
		h = nil
	}
	if h != nil && h.keys.Has(kid) {
		if !h.due(now) {
			return h.keys, nil, nil
		}
		f, _ := s.flightLocked(now, false)
		if f == nil || !h.overdue(now) {
			return h.keys, nil, nil
		}
		return h.keys, f, nil
	}
	if s.landed > arrived { // a fetch that began after the caller came has not brought the key
		return nil, nil, &identity.UnknownKeyError{RetryAfter: max(s.waitLocked(now, h != nil), shortestPause)}
	}
	f, wait := s.flightLocked(now, h != nil)
	if f == nil || s.waiting >= room(h != nil, now.since(f.began)) {
		return nil, nil, &identity.UnknownKeyError{RetryAfter: max(wait, shortestPause)}
	}
	s.waiting++
	return nil, f, nil
}

// Has reports whether the key of this kid is at hand.
func (s *Source) Has(kid string) bool {
	h := s.current.Load()
	return h != nil && !h.dead(s.clock.now()) && h.keys.Has(kid)
}

// Fetched reports whether keys serve that were fetched: those bundled then play no part any more.
func (s *Source) Fetched() bool {
	h := s.current.Load()
	return h != nil && !h.bundled && !h.dead(s.clock.now())
}

// Close ends the fetch that is going on and waits for it. It returns nil.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}
