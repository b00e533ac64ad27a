// Package guard stands between the proxy and one upstream, so that neither can wear the other down: it limits what is in
// flight and how often the upstream is asked, leaves an upstream alone that keeps failing, and tries failed reads again,
// within a budget. One Guard serves all mounts of an upstream. Its laws:
//
//   - The deadline is the caller's: waiting, trying and pausing together end with the context. Nothing is waited for
//     that could not end in time.
//   - A read may be tried again, a change never: it may have happened.
//   - Retries are at most a fifth of the reads of the last ten seconds, or three: they must not multiply an outage.
//   - After a number of failures in a row the upstream is left alone for a while; then one request tries, and only if
//     that is answered do the others follow. Where all of them are one secret's, that alone is left alone.
//   - "No such secret", "denied" and the like are answers. They count for the upstream's health and are not tried again.
//   - What counts is requests: the failure of one that many reads waited for is one failure (Shared).
package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Errors of the guard's own. They are failures of the upstream for whoever asks: a cached value may be served stale.
var (
	// ErrOpen: the upstream failed too often and is left alone for now.
	ErrOpen = fmt.Errorf("%w: it failed repeatedly and is left alone for a moment", secret.ErrUnavailable)
	// ErrLimited: the configured limits of the upstream leave no room before the deadline.
	ErrLimited = fmt.Errorf("%w: the limits set for it leave no room", secret.ErrThrottled)
	// ErrWithheld is wrapped besides where the upstream was not asked for a change: it has not happened.
	ErrWithheld = errors.New("the upstream was not asked")
)

// Config bounds what is asked of one upstream. The zero value limits nothing but tries again and breaks, with the
// defaults named below.
type Config struct {
	Concurrency int // requests in flight; 0 means no limit
	Rate        int // requests per second, of which a second's worth may come at once; 0 means no limit

	Attempts int           // most tries of one read; 0 means 3, 1 that nothing is tried again
	Timeout  time.Duration // of one try of a read; 0 means 4 s, negative that only the caller's deadline counts
	Failures int           // in a row, until the upstream is left alone; 0 means 5, negative that it never is
	Cooldown time.Duration // how long it is left alone; 0 means 5 s

	Mono func() time.Duration // monotonic clock; nil means the runtime's
	Rand func() float64       // in [0,1), spreads pauses; nil means math/rand/v2
}

func (c Config) withDefaults() (Config, error) {
	if c.Concurrency < 0 || c.Rate < 0 || c.Attempts < 0 || c.Cooldown < 0 {
		return c, errors.New("guard: Concurrency, Rate, Attempts and Cooldown must not be negative")
	}
	if c.Attempts == 0 {
		c.Attempts = 3
	}
	if c.Timeout == 0 {
		c.Timeout = 4 * time.Second
	}
	if c.Failures == 0 {
		c.Failures = 5
	}
	if c.Cooldown == 0 {
		c.Cooldown = 5 * time.Second
	}
	if c.Mono == nil {
		start := time.Now()
		c.Mono = func() time.Duration { return time.Since(start) }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c, nil
}

// Guard is safe for concurrent use and holds no goroutine. A nil Guard lets everything through.
type Guard struct {
	cfg     Config
	slots   chan struct{} // nil: no limit
	bucket  *bucket       // nil: no limit
	breaker *breaker      // nil: never opens
	budget  budget

	attempts, failures, retries, limited, refused atomic.Uint64
}

// New returns a Guard for one upstream.
func New(c Config) (*Guard, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Guard{cfg: c}
	if c.Concurrency > 0 {
		g.slots = make(chan struct{}, c.Concurrency)
	}
	if c.Rate > 0 {
		g.bucket = newBucket(c.Rate, c.Mono())
	}
	if c.Failures > 0 {
		g.breaker = &breaker{limit: c.Failures, cooldown: c.Cooldown}
	}
	return g, nil
}

// Stats counts since New; Open tells of now.
type Stats struct {
	Attempts uint64 // requests that went to the upstream
	Failures uint64 // of those, the ones it did not answer
	Retries  uint64 // of the attempts, those that were not the first
	Limited  uint64 // requests that the limits left no room for
	Refused  uint64 // requests that were not made because the upstream is left alone
	Open     bool   // it is left alone now, or on probation
}

// Plus is the sum of two guards' counters; it is open where either is.
func (s Stats) Plus(o Stats) Stats {
	return Stats{
		Attempts: s.Attempts + o.Attempts, Failures: s.Failures + o.Failures, Retries: s.Retries + o.Retries,
		Limited: s.Limited + o.Limited, Refused: s.Refused + o.Refused, Open: s.Open || o.Open,
	}
}

// Stats returns the counters.
func (g *Guard) Stats() Stats {
	if g == nil {
		return Stats{}
	}
	return Stats{
		Attempts: g.attempts.Load(), Failures: g.failures.Load(), Retries: g.retries.Load(),
		Limited: g.limited.Load(), Refused: g.refused.Load(), Open: g.breaker.isOpen(),
	}
}

// Do calls f once, for a change.
func (g *Guard) Do(ctx context.Context, f func(context.Context) error) error {
	if g == nil {
		return f(ctx)
	}
	how, err := g.attempt(ctx, one{}, f)
	if how == withheld {
		err = fmt.Errorf("%w: %w", ErrWithheld, err)
	}
	return err
}

// outcome is how far an attempt came.
type outcome uint8

const (
	withheld outcome = iota // the upstream was not asked
	final                   // it was, and shall not be asked again
	again                   // it did not answer and may be asked again
)

// one is what kind of an attempt is made.
type one struct {
	name    string        // of the secret; "" where it is about none or more
	timeout time.Duration // 0: only the caller's deadline counts
	// long: it takes many requests, or is one of them, and how many is not the upstream's fault. That the caller's
	// deadline comes first tells nothing of the upstream's health: whoever asks for much must not have it left alone.
	long bool
}

// attempt admits one request, makes it, and draws the breaker's conclusion.
func (g *Guard) attempt(ctx context.Context, what one, f func(context.Context) error) (outcome, error) {
	if g.breaker.refuses(g.cfg.Mono(), what.name) { // before it waits for a place, and again with the place
		g.refused.Add(1)
		return withheld, ErrOpen
	}
	release, err := g.admit(ctx)
	if err != nil {
		return withheld, err
	}
	defer release()
	pass, ok := g.breaker.enter(g.cfg.Mono(), what.name)
	if !ok {
		g.refused.Add(1)
		return withheld, ErrOpen
	}
	verdict := failed // what a panic comes to
	defer func() {
		if verdict == failed {
			g.failures.Add(1)
		}
		g.breaker.leave(pass, verdict, g.cfg.Mono())
	}()
	g.attempts.Add(1)
	err = call(ctx, what.timeout, f)
	switch verdict = what.judge(ctx, err); {
	case verdict != failed, pass.probe:
		return final, err
	case !uncounted(err):
		verdict = unknown
	}
	return again, err
}

func call(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	if timeout <= 0 {
		return f(ctx)
	}
	inner, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(inner)
	if err != nil && inner.Err() != nil && ctx.Err() == nil && !answered(err) {
		return fmt.Errorf("%w: one try took longer than %v", secret.ErrTimeout, timeout)
	}
	return err
}

// verdict is what a request tells of the upstream's health.
type verdict uint8

const (
	failed  verdict = iota // it did not answer
	healthy                // it answered, be it with a refusal
	unknown                // the caller went away first or asked for too much, or another has told
)

func (o one) judge(ctx context.Context, err error) verdict {
	switch {
	case err == nil, answered(err):
		return healthy
	case errors.Is(ctx.Err(), context.Canceled), o.long && ctx.Err() != nil:
		return unknown
	}
	return failed
}

func answered(err error) bool {
	for _, is := range []error{
		secret.ErrNotFound, secret.ErrDenied, secret.ErrConflict, secret.ErrTooLarge, secret.ErrInvalidSecret, secret.ErrUnsupported,
		secret.ErrLeased, secret.ErrUnreadable,
	} {
		if errors.Is(err, is) {
			return !errors.Is(err, secret.ErrUnavailable)
		}
	}
	return false
}
