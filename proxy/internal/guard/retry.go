package guard

import (
	"context"
	"sync"
	"time"
)

// Bounds of the pause before the second try; it doubles with each further one.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Retry calls f for a read of the secret of this name until it is answered, the tries, the budget or the time are used up,
// or the breaker opens. It returns the error of the last call.
func (g *Guard) Retry(ctx context.Context, name string, f func(context.Context) error) error {
	if g == nil {
		return f(ctx)
	}
	return g.retry(ctx, one{name: name, timeout: g.cfg.Timeout}, f)
}

// walk is Retry for a read of many requests, which may take until the caller's deadline.
func (g *Guard) walk(ctx context.Context, f func(context.Context) error) error {
	return g.retry(ctx, one{long: true}, f)
}

// part is Retry for one read of many that share the caller's deadline.
func (g *Guard) part(ctx context.Context, name string, f func(context.Context) error) error {
	return g.retry(ctx, one{name: name, timeout: g.cfg.Timeout, long: true}, f)
}

func (g *Guard) retry(ctx context.Context, what one, f func(context.Context) error) error {
	g.budget.read(g.cfg.Mono())
	var last error
	for n := 1; ; n++ {
		o, err := g.attempt(ctx, what, f)
		switch {
		case o == withheld && last != nil:
			return last // tells more than that it was not asked again
		case o != again || n == g.cfg.Attempts:
			return err
		}
		last = err
		d := time.Duration(g.cfg.Rand() * float64(min(maxPause, firstPause<<(n-1)))) // full jitter
		if d >= patience(ctx) || !pay(err, func() bool { return g.budget.retry(g.cfg.Mono()) }) {
			return err
		}
		if pause(ctx, d) != nil {
			return err
		}
		g.retries.Add(1)
	}
}

// Bounds of the budget.
const (
	budgetSlots = 10 // of one second each
	minRetries  = 3
	readsARetry = 5 // reads that pay for one retry
)

// budget counts reads and retries of the last ten seconds.
type budget struct {
	mu    sync.Mutex
	now   int64 // the second that the current slot stands for
	slots [budgetSlots]struct{ reads, retries int }
}

func (b *budget) read(now time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanceLocked(now)
	b.slots[b.now%budgetSlots].reads++
}

// retry takes one retry from the budget, if there is one.
func (b *budget) retry(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanceLocked(now)
	reads, retries := 0, 0
	for i := range b.slots {
		reads += b.slots[i].reads
		retries += b.slots[i].retries
	}
	if retries >= max(minRetries, reads/readsARetry) {
		return false
	}
	b.slots[b.now%budgetSlots].retries++
	return true
}

func (b *budget) advanceLocked(now time.Duration) {
	second := int64(now / time.Second)
	for n := min(second-b.now, budgetSlots); n > 0; n-- {
		b.slots[(second-n+1)%budgetSlots] = struct{ reads, retries int }{}
	}
	b.now = max(b.now, second)
}
