package jwks

import (
	"context"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

const (
	// missPause is the least time between two fetches for kids that a set lacks.
	missPause = 30 * time.Second
	// After failures the pauses double from the shortest to the longest, less up to half of each at random.
	shortestPause = time.Second
	longestPause  = time.Minute
	// frozenAfter is the age of a fetch that can only have been frozen, since it ends by itself before: its connection is
	// as old.
	frozenAfter = 2 * fetchTime
	// maxWaiting is how many callers may wait at one time for a key that the set lacks. Whoever sends kids that nobody has
	// takes no more places from other callers than this, however slow the issuer is.
	maxWaiting = 128
	// maxWaitingFirst is how many may wait where there are no keys yet, as long as a fetch takes that goes well.
	maxWaitingFirst = 512
)

// room is how many callers may wait for a fetch of this age; known says that there are keys, if not the one they want.
func room(known bool, age time.Duration) int {
	if !known && age < patience {
		return maxWaitingFirst
	}
	return maxWaiting
}

// waitLocked is how long no fetch may begin; miss says that it is for a kid which the set lacks.
func (s *Source) waitLocked(now moment, miss bool) time.Duration {
	var wait time.Duration
	if s.failures > 0 {
		wait = s.pause - now.since(s.failed)
	}
	if miss && s.missing {
		wait = max(wait, missPause-now.since(s.missed))
	}
	return max(wait, 0)
}

// flightLocked returns the fetch that is going on, or begins one. Where none may begin it says for how long.
func (s *Source) flightLocked(now moment, miss bool) (*flight, time.Duration) {
	if f := s.flight; f != nil {
		if now.since(f.began) < frozenAfter {
			return f, 0
		}
		f.cancel()
		s.flight = nil
	}
	if wait := s.waitLocked(now, miss); wait > 0 || s.closed {
		return nil, wait
	}
	if miss {
		s.missed, s.missing = now, true
	}
	s.begun++
	// The fetch is everybody's: it does not end with the request that began it.
	ctx, cancel := context.WithCancel(s.ctx)
	f := &flight{number: s.begun, began: now, cancel: cancel, done: make(chan struct{})}
	s.flight = f
	s.running.Go(func() { s.fly(ctx, f) })
	return f, 0
}

func (s *Source) fly(ctx context.Context, f *flight) {
	defer close(f.done)
	defer f.cancel()
	keys, fresh, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != f {
		return // another one has been begun in its place
	}
	s.flight, s.landed = nil, f.number
	if err != nil {
		s.failLocked(err)
		return
	}
	s.succeedLocked(&held{keys: keys, fetched: f.began, fresh: fresh})
}

func (s *Source) failLocked(err error) {
	if s.closed {
		return
	}
	s.failures++
	s.failed = s.clock.now()
	pause := min(shortestPause<<min(s.failures-1, 16), longestPause)
	s.pause = pause - time.Duration(s.random()*float64(pause/2))
	serving := "none"
	if h := s.current.Load(); h != nil && !h.dead(s.failed) {
		serving = h.origin()
	}
	s.log.Warn("keys of an issuer were not fetched", "error", err, "failures", s.failures, "pause", s.pause, "serving", serving)
}

func (s *Source) succeedLocked(h *held) {
	old := s.current.Swap(h)
	if old == nil || old.bundled || s.failures > 0 || !slices.Equal(sortedIDs(old.keys), sortedIDs(h.keys)) {
		s.log.Info("keys of an issuer fetched", "keys", h.keys.Len(), "fresh", h.fresh)
	}
	if h.keys.Len() == 0 {
		s.log.Warn("an issuer publishes no key that can verify its tokens")
	}
	s.failures = 0
}

func sortedIDs(keys *identity.KeySet) []string { return slices.Sorted(slices.Values(keys.KeyIDs())) }
