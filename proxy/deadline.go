package proxy

import (
	"context"
	"sync"
	"time"
)

// requestTimeout is how long one request may wait for the shared state and for its upstream, together. A change that has
// begun has as long again, and the sink of the audit log bounds its own time.
const requestTimeout = 10 * time.Second

// maxSpare is the most of a caller's time that is kept for the record of what came of the request: without it there is no
// answer.
const maxSpare = 500 * time.Millisecond

// spared marks contexts that end early enough already.
type spared struct{}

// patience is how long a request with this context may wait for anything but its record.
func patience(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return requestTimeout
	}
	left := time.Until(end)
	if ctx.Value(spared{}) == nil {
		left -= min(left/10, maxSpare)
	}
	return min(requestTimeout, left)
}

// sparing is ctx until its patience ends.
func sparing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(ctx, spared{}, true), patience(ctx))
}

// deadline is a context that ends when its caller's patience does after it is first waited for, so that a request that waits for nothing,
// such as a read from the cache, pays for no timer.
type deadline struct {
	parent context.Context // the caller's

	mu     sync.Mutex
	armed  context.Context // nil before somebody waits
	cancel context.CancelFunc
}

// bounded is ctx, of which there is one for each transaction, with the deadline of t. It ends with t.
func (t *transaction) bounded(ctx context.Context) context.Context {
	if t.limit.parent == nil {
		t.limit.parent = ctx
	}
	return &t.limit
}

func (d *deadline) arm() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed == nil {
		d.armed, d.cancel = sparing(d.parent)
	}
	return d.armed
}

// end reports whether nobody can have kept d: nobody waited.
func (d *deadline) end() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel == nil {
		return true
	}
	d.cancel()
	return false
}

func (d *deadline) known() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed == nil {
		return d.parent
	}
	return d.armed
}

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.arm().Deadline() }

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} { return d.arm().Done() }

// Err implements context.Context.
func (d *deadline) Err() error { return d.known().Err() }

// Value implements context.Context.
func (d *deadline) Value(key any) any { return d.known().Value(key) }

// detached is for what must not be left half done when a caller hangs up. A deadline is another matter: whoever set it ends
// the process then, as Lambda does, and nobody would learn what became of it.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout+maxSpare)
	if !bounded {
		return ctx, cancel
	}
	ctx, sooner := context.WithDeadline(ctx, end)
	return ctx, func() { sooner(); cancel() }
}
