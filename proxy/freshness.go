package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

const (
	defaultCheck = time.Second
	// storeTimeout bounds one read of the state store, which no caller's deadline cuts short.
	storeTimeout = 5 * time.Second
)

// freshness keeps the generation: it reads the facts that others appended and applies them to the cache before a cached
// value is served. The age of a check is the larger of what the two clocks say: a frozen process stops the monotonic
// one, and many short freezes are no jump. After a jump, which the cache notices, the last check is worth nothing.
type freshness struct {
	store    state.Store
	cache    *cache.Cache
	interval time.Duration
	maxBlind time.Duration
	wall     func() time.Time
	mono     func() time.Duration
	log      *slog.Logger

	seq     atomic.Uint64
	revoked atomic.Pointer[revocations]
	last    atomic.Pointer[checked] // the last good check, nil before the first

	mu     sync.Mutex
	flight *check // the check under way, nil if none
}

// checked says when a good check began: the facts of that moment are applied.
type checked struct {
	mono  time.Duration
	wall  time.Time
	thaws uint64 // what cache.Observe said
}

// check is one read of the store that any number of callers wait for.
type check struct {
	done chan struct{}
	err  error
}

func newFreshness(c Config, values *cache.Cache) *freshness {
	f := &freshness{
		store: c.State, cache: values, interval: c.Check, maxBlind: c.MaxBlind, wall: c.Wall, mono: c.Mono, log: c.Logger,
	}
	f.revoked.Store(&revocations{})
	if f.interval == 0 {
		f.interval = defaultCheck
	}
	return f
}

func (f *freshness) generation() uint64 { return f.seq.Load() }

func (f *freshness) start(ctx context.Context) error { return f.sync(ctx) }

// check returns once it is sure enough, by mode, that no fact is missing. It comes before everything that facts can
// forbid. Restricted secrets are never served blindly.
func (f *freshness) check(ctx context.Context, mode Freshness, restricted bool) error {
	if mode != Strict && f.within(f.interval) {
		return nil
	}
	err := f.sync(ctx)
	switch {
	case err == nil:
		return nil
	case restricted || mode == Strict:
		return err
	case mode == Eventual || f.within(f.maxBlind):
		return nil
	}
	return err
}

func (f *freshness) ready() error {
	if f.within(f.maxBlind) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	return f.sync(ctx)
}

// within reports whether the last good check began less than d ago, and the process has not been frozen since.
func (f *freshness) within(d time.Duration) bool {
	c := f.last.Load()
	return c != nil && max(f.mono()-c.mono, f.wall().Sub(c.wall)) < d && f.cache.Observe() == c.thaws
}

// sync reads and applies what is new. Callers at the same time share one read, but never one that began before they
// asked: its answer could be older than what they may rely on.
func (f *freshness) sync(ctx context.Context) error {
	f.mu.Lock()
	joined := f.flight
	f.mu.Unlock()
	if joined != nil {
		select {
		case <-joined.done:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", state.ErrUnavailable, ctx.Err())
		}
	}
	f.mu.Lock()
	c := f.flight
	if c == nil || c == joined {
		c = &check{done: make(chan struct{})}
		f.flight = c
		f.mu.Unlock()
		f.run(ctx, c)
		return c.err
	}
	f.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", state.ErrUnavailable, ctx.Err())
	}
}

func (f *freshness) run(ctx context.Context, c *check) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	// Whatever happens to the reader, those who wait get an answer and the next check can begin.
	c.err = errBroken
	defer func() {
		f.mu.Lock()
		f.flight = nil
		f.mu.Unlock()
		close(c.done)
	}()
	began := &checked{mono: f.mono(), wall: f.wall(), thaws: f.cache.Observe()}
	if c.err = f.catchUp(ctx); c.err == nil {
		f.last.Store(began)
	} else {
		f.log.LogAttrs(ctx, slog.LevelWarn, "the state store cannot be read", slog.String("error", c.err.Error()))
	}
}

var errBroken = fmt.Errorf("%w: reading it broke down", state.ErrUnavailable)

func (f *freshness) catchUp(ctx context.Context) error {
	revoked := f.revoked.Load()
	facts, last, err := f.store.Since(ctx, f.seq.Load())
	if errors.Is(err, state.ErrCompacted) {
		// What was missed cannot be known, so nothing cached may be served on the strength of it. The snapshot holds
		// every revocation that still stands; those held here may have been lifted since.
		f.cache.Flush()
		revoked = &revocations{}
		facts, last, err = f.store.Since(ctx, 0)
	}
	if err != nil {
		return err
	}
	for i := range facts {
		if facts[i].Kind == state.Invalidation {
			f.invalidate(facts[i].Subject)
		}
	}
	// One set takes the place of another: no request sees half of what was read.
	f.revoked.Store(revoked.with(facts, f.wall()))
	f.seq.Store(last)
	return nil
}

func (f *freshness) invalidate(pattern string) {
	p, err := secret.ParseConfigPattern(pattern)
	if err != nil {
		// A newer node may write what this one cannot read: then everything may be meant.
		p = secret.Everything()
	}
	f.cache.Invalidate(p)
}
