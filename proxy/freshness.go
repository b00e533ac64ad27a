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
	keep     time.Duration // how long an invalidation can matter
	wall     func() time.Time
	log      *slog.Logger

	seq     atomic.Uint64
	turn    atomic.Uint64 // the last fact by which what was decided before may have to be decided anew
	revoked atomic.Pointer[revocations]
	tokens  atomic.Pointer[projectTokens]
	last    atomic.Pointer[cache.Moment] // when the last good check began, nil before the first: what was true then is applied
	failed  atomic.Pointer[cache.Moment] // when the last one failed, nil if the last was good
	wg      sync.WaitGroup               // checks that no request runs

	checks, failures atomic.Uint64

	mu     sync.Mutex
	flight *check // the check under way, nil if none
	closed bool
}

// check is one read of the store that any number of callers wait for.
type check struct {
	done chan struct{}
	err  error
}

func newFreshness(c Config, values *cache.Cache) *freshness {
	f := &freshness{
		store: c.State, cache: values, interval: c.Check, maxBlind: c.MaxBlind, wall: c.Wall, log: c.Logger,
	}
	f.revoked.Store(&revocations{})
	f.tokens.Store(&projectTokens{})
	if f.interval == 0 {
		f.interval = defaultCheck
	}
	for i := range c.Mounts {
		f.keep = max(f.keep, c.Mounts[i].TTL.Hard, c.Mounts[i].TTL.Stale)
	}
	f.keep += f.maxBlind + 5*time.Minute
	return f
}

func (f *freshness) generation() uint64 { return f.seq.Load() }

func (f *freshness) start(ctx context.Context) error { return f.sync(ctx) }

// check returns once it is sure enough, by mode, that no fact is missing. It comes before everything that facts can
// forbid. While the store cannot be read, what was known is enough for maxBlind, and never for restricted secrets or in
// the mode Strict.
func (f *freshness) check(ctx context.Context, mode Freshness, restricted bool) error {
	switch {
	case mode == Strict:
		return f.sync(ctx)
	case f.within(f.last.Load(), f.interval):
		return nil
	case restricted:
		return f.sync(ctx)
	case f.within(f.last.Load(), f.maxBlind):
		if f.within(f.failed.Load(), f.interval) {
			return nil // it could not be read a moment ago: not every request need try
		}
		if mode == Eventual {
			f.syncBehind()
			return nil
		}
	}
	err := f.sync(ctx)
	if err != nil && f.within(f.last.Load(), f.maxBlind) {
		return nil
	}
	return err
}

func (f *freshness) ready() error {
	if f.within(f.last.Load(), f.maxBlind) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	return f.sync(ctx)
}

// within reports whether c happened less than d ago, and the process has not been frozen since.
func (f *freshness) within(c *cache.Moment, d time.Duration) bool {
	if c == nil {
		return false
	}
	now := f.cache.Observe()
	return now.Thaws == c.Thaws && now.Since(*c) < d
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

// syncBehind starts a read that no request waits for, unless one is under way.
func (f *freshness) syncBehind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flight != nil || f.closed {
		return
	}
	c := &check{done: make(chan struct{})}
	f.flight = c
	f.wg.Go(func() { f.run(context.Background(), c) })
}

func (f *freshness) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wg.Wait()
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
	began := f.cache.Observe()
	f.checks.Add(1)
	if c.err = f.catchUp(ctx); c.err == nil {
		f.last.Store(&began)
		f.failed.Store(nil)
	} else {
		f.failures.Add(1)
		failed := f.cache.Observe()
		f.failed.Store(&failed)
		f.log.LogAttrs(ctx, slog.LevelWarn, "the state store cannot be read", slog.String("error", c.err.Error()))
	}
}

var errBroken = fmt.Errorf("%w: reading it broke down", state.ErrUnavailable)

func (f *freshness) catchUp(ctx context.Context) error {
	revoked, tokens := f.revoked.Load(), f.tokens.Load()
	turn := f.turn.Load()
	facts, last, err := f.store.Since(ctx, f.seq.Load())
	if errors.Is(err, state.ErrCompacted) {
		// What was missed cannot be known, so nothing cached may be served on the strength of it. The snapshot holds
		// every revocation and project token that still stands; those held here may have been lifted since.
		f.cache.Flush()
		revoked, tokens = &revocations{}, &projectTokens{}
		facts, last, err = f.store.Since(ctx, 0)
		turn = last
	}
	if err != nil {
		return err
	}
	// One set takes the place of another: no request sees half of what was read.
	f.revoked.Store(revoked.with(facts, f.wall()))
	f.tokens.Store(tokens.with(facts, f.wall()))
	for i := range facts {
		if p, ok := dropped(&facts[i]); ok {
			f.cache.Invalidate(p)
		}
		if turns(&facts[i]) {
			turn = max(turn, facts[i].Seq)
		}
	}
	f.turn.Store(turn)
	f.seq.Store(last)
	return nil
}

// turns reports whether a request that is allowed what it asks for may have to be decided anew on account of the fact. A
// token that was made or used and something that was lifted give nobody less; a token that is gone is looked up anew.
func turns(f *state.Fact) bool {
	return f.Kind != state.ProjectToken && f.Kind != state.ProjectTokenUse && f.Kind != state.Lift
}

// dropped is the pattern of what must leave the cache on account of the fact. What was cached of a revoked secret is not
// served again, not even when the revocation is lifted.
func dropped(f *state.Fact) (p secret.Pattern, ok bool) {
	switch f.Kind {
	case state.Revocation:
		v := newRevocation(f)
		return v.pattern, !v.pattern.IsZero()
	case state.Invalidation:
		p, err := secret.ParseConfigPattern(f.Subject)
		if err != nil {
			// A newer node may write what this one cannot read: then everything may be meant.
			p = secret.Everything()
		}
		return p, true
	}
	return secret.Pattern{}, false
}
