package wasm

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// waitLimit bounds the wait for an instance. A decision takes microseconds, so it is met only under hopeless overload.
const waitLimit = time.Second

// pool keeps the instances of one policy. The last one used is taken first: its memory is still in the caches, and the
// rest of the list stays cold when load is low. A place in slots is held by every decision, and an instance is made only
// where the list is empty, so there are never more instances than slots.
type pool struct {
	guest *guest
	slots chan struct{}
	limit time.Duration // of the wait for a slot

	mu   sync.Mutex
	free []*instance
}

func newPool(g *guest, size int) *pool {
	return &pool{guest: g, slots: make(chan struct{}, size), limit: waitLimit}
}

func (p *pool) get(ctx context.Context) (*instance, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		in := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return in, nil
	}
	p.mu.Unlock()
	in, err := p.guest.newInstance()
	if err != nil {
		<-p.slots
		return nil, err
	}
	return in, nil
}

func (p *pool) wait(ctx context.Context) error {
	// A context that has ended ends waiting, not the decision: who hung up is no fault of the policy.
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(p.limit)
	defer t.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	case <-t.C:
		return fmt.Errorf("%w after %v", ErrBusy, p.limit)
	}
}

// put takes an instance back. One that failed is discarded.
func (p *pool) put(in *instance, healthy bool) {
	if healthy && in.reusable() {
		p.mu.Lock()
		p.free = append(p.free, in)
		p.mu.Unlock()
	} else {
		in.close()
	}
	<-p.slots
}
