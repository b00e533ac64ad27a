package guard

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// bucket gives out rate tokens a second and holds at most one second's worth. Who finds it empty is told how long to
// wait for the token that is set aside.
type bucket struct {
	every time.Duration // one token
	burst time.Duration // what the bucket holds, as time

	mu   sync.Mutex
	next time.Duration // when the token after the last one given is there
}

func newBucket(rate int, now time.Duration) *bucket {
	b := &bucket{every: max(1, time.Second/time.Duration(rate)), burst: time.Second}
	b.next = now - b.burst
	return b
}

// take sets a token aside and returns how long it takes to be there; false where that is longer than patience.
func (b *bucket) take(now, patience time.Duration) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := max(b.next, now-b.burst) + b.every
	if wait = max(0, next-now); wait > patience {
		return wait, false
	}
	b.next = next
	return wait, true
}

// forever is patience without a deadline.
const forever = time.Duration(1<<63 - 1)

func patience(ctx context.Context) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return time.Until(at)
	}
	return forever
}

// admit waits for a token and a slot. What it returns gives the slot back.
func (g *Guard) admit(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("before asking the upstream: %w", err)
	}
	if g.bucket != nil {
		wait, ok := g.bucket.take(g.cfg.Mono(), patience(ctx))
		if !ok {
			g.limited.Add(1)
			return nil, ErrLimited
		}
		if err := pause(ctx, wait); err != nil {
			g.limited.Add(1)
			return nil, fmt.Errorf("%w: %w", ErrLimited, err)
		}
	}
	if g.slots == nil {
		return func() {}, nil
	}
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots }, nil
	case <-ctx.Done():
		g.limited.Add(1)
		return nil, fmt.Errorf("%w: %w", ErrLimited, ctx.Err())
	}
}

// pause sleeps, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
