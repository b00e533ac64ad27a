// Package batch turns reads of single secrets that are wanted at the same time into calls for many of them. Its laws:
//
//   - A read that is alone is not delayed: it leaves at once. Those that come while it is under way are collected, and
//     leave when it is back, when they fill a call, or after Config.Wait, whichever comes first.
//   - Each caller waits no longer than its own context. A call is ended when all who wait for it have left.
//   - A read never joins a call that has left: its answer may be older than what the caller knows.
//   - What a call for many does not tell of, or refuses as a whole, is read by itself: one secret that may not be read
//     hides no other.
//   - The failure of a call is one failure (guard.Shared), however many wait for it.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Result is what a call for many says of one name. The zero Result says nothing.
type Result struct {
	Secret *secret.Secret
	Err    error
}

// Config says how to read. All but Wall must be set.
type Config struct {
	Most int           // names in one call
	Wait time.Duration // how long a call that is not full waits for company
	// One reads one secret.
	One func(ctx context.Context, name string) (*secret.Secret, error)
	// Many reads several, each named once. Names that it has no result for are read by One.
	Many func(ctx context.Context, names []string) (map[string]Result, error)
	// Refused says of an error of Many that it is about some name, or about calls for many as such: then each is read by
	// One, and so is every other for the next minute.
	Refused func(error) bool
	Wall    func() time.Time // nil is time.Now
}

// soloTime is how long nothing is batched after a call for many was refused.
const soloTime = time.Minute

// errClosed: Close was called.
var errClosed = fmt.Errorf("%w: closed", secret.ErrUnavailable)

// Batch is safe for concurrent use.
type Batch struct {
	cfg Config

	mu      sync.Mutex
	closed  bool
	next    *call // collects; nil while none does
	calls   map[*call]struct{}
	refused time.Time // when a call for many was refused last; zero for never
	flying  sync.WaitGroup
}

// New returns a Batch.
func New(c Config) (*Batch, error) {
	if c.Most < 1 || c.Wait <= 0 || c.One == nil || c.Many == nil || c.Refused == nil {
		return nil, errors.New("batch: Most, Wait, One, Many and Refused must be set")
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	return &Batch{cfg: c, calls: map[*call]struct{}{}}, nil
}

// call is one call, from its first name to its answer.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer // nil for a call that left at once
	names  []string
	left   bool // it is under way

	waiting map[string][]*waiter
	callers int // of those that wait, the ones still there and without an answer
}

// waiter is one caller. Under Batch.mu it is either gone or still to be answered.
type waiter struct {
	answer chan Result // holds one
	gone   bool
}

// Read returns the secret with this name, which then belongs to the caller.
func (b *Batch) Read(ctx context.Context, name string) (*secret.Secret, error) {
	if err := secret.ContextError(ctx); err != nil {
		return nil, err
	}
	c, w, err := b.join(name)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-w.answer:
		return r.Secret, r.Err
	case <-ctx.Done():
		b.leave(c, w)
		return nil, secret.ContextError(ctx)
	}
}

// join finds the call that the name goes with, and sends it where there is nothing to wait for.
func (b *Batch) join(name string) (*call, *waiter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, errClosed
	}
	c := b.next
	solo := b.soloLocked()
	if c == nil || solo {
		c = &call{waiting: map[string][]*waiter{}}
		c.ctx, c.cancel = context.WithCancel(context.Background())
	}
	w := &waiter{answer: make(chan Result, 1)}
	if len(c.waiting[name]) == 0 {
		c.names = append(c.names, name)
	}
	c.waiting[name] = append(c.waiting[name], w)
	c.callers++
	switch {
	case solo, len(b.calls) == 0, len(c.names) == b.cfg.Most:
		b.sendLocked(c)
	case b.next == nil:
		b.next = c
		c.timer = time.AfterFunc(b.cfg.Wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.next == c {
				b.sendLocked(c)
			}
		})
	}
	return c, w, nil
}

func (b *Batch) soloLocked() bool {
	if b.refused.IsZero() {
		return false
	}
	age := b.cfg.Wall().Round(0).Sub(b.refused)
	return 0 <= age && age < soloTime
}

func (b *Batch) sendLocked(c *call) {
	if b.next == c {
		b.next = nil
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.left = true
	b.calls[c] = struct{}{}
	b.flying.Go(func() { b.fly(c) })
}

// leave takes a caller away who waits no more.
func (b *Batch) leave(c *call, w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.gone = true
	select {
	case r := <-w.answer: // it came at the same moment
		wipe(r)
		return
	default:
	}
	if c.callers--; c.callers > 0 {
		return
	}
	c.cancel()
	if !c.left {
		c.timer.Stop()
		b.next = nil
	}
}

// fly makes a call and answers everybody who waits for it.
func (b *Batch) fly(c *call) {
	defer c.cancel()
	defer func() {
		// Whoever was not answered hears of a panic.
		_ = recover()
		b.mu.Lock()
		for _, name := range c.names {
			b.answerLocked(c, name, Result{Err: fmt.Errorf("%w: reading came to nothing", secret.ErrUnavailable)})
		}
		delete(b.calls, c)
		if b.next != nil {
			b.sendLocked(b.next)
		}
		b.mu.Unlock()
	}()
	alone := c.names
	if len(c.names) > 1 {
		alone = b.many(c)
	}
	if len(alone) == 1 {
		b.one(c, alone[0])
		return
	}
	var all sync.WaitGroup
	for _, name := range alone {
		all.Go(func() { b.one(c, name) })
	}
	all.Wait()
}

// many makes a call for many, and returns the names that it did not answer.
func (b *Batch) many(c *call) (unanswered []string) {
	results, err := b.cfg.Many(c.ctx, c.names)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.cfg.Refused(err) {
		b.refused = b.cfg.Wall().Round(0)
		return c.names
	}
	if err != nil {
		err = guard.Shared(err)
	}
	for _, name := range c.names {
		r, ok := results[name]
		switch {
		case err != nil:
			b.answerLocked(c, name, Result{Err: err})
		case !ok, r.Secret == nil && r.Err == nil:
			unanswered = append(unanswered, name)
		default:
			b.answerLocked(c, name, r)
		}
	}
	return unanswered
}

func (b *Batch) one(c *call, name string) {
	r := Result{Err: fmt.Errorf("%w: reading came to nothing", secret.ErrUnavailable)} // what a panic comes to
	defer func() {
		_ = recover()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.answerLocked(c, name, r)
	}()
	s, err := b.cfg.One(c.ctx, name)
	if err != nil {
		err = guard.Shared(err)
	}
	r = Result{s, err}
}

// answerLocked gives each caller a copy of its own, the last one the secret itself.
func (b *Batch) answerLocked(c *call, name string, r Result) {
	if r.Err != nil && b.closed {
		r.Err = errClosed // it may say that the call was cancelled, which no caller did
	}
	var last *waiter
	for _, w := range c.waiting[name] {
		if w.gone {
			continue
		}
		c.callers--
		if last != nil {
			last.answer <- r.clone()
		}
		last = w
	}
	delete(c.waiting, name)
	if last == nil {
		wipe(r)
		return
	}
	last.answer <- r
}

func (r Result) clone() Result {
	if r.Secret != nil {
		r.Secret = r.Secret.Clone()
	}
	return r
}

func wipe(r Result) {
	if r.Secret != nil {
		r.Secret.Wipe()
	}
}

// Close ends the calls that are under way and waits for them. Later reads fail with secret.ErrUnavailable.
func (b *Batch) Close() error {
	b.mu.Lock()
	b.closed = true
	if b.next != nil {
		b.sendLocked(b.next)
	}
	for c := range b.calls {
		c.cancel()
	}
	b.mu.Unlock()
	b.flying.Wait()
	return nil
}
