package proxy

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// gateWait is how long a request waits for a place. Waiting costs next to nothing, while to refuse a request that comes
// again at once costs half as much as to answer it. Who has waited longer has likely lost its client.
const gateWait = 250 * time.Millisecond

// gate counts the requests in flight. Those that find no place wait for one in the order in which they came; how many can
// wait is for the listener to bound, which holds their connections.
type gate struct {
	inFlight atomic.Int64
	waiting  atomic.Int64 // len of queue, so that nobody takes mu while nobody waits

	mu    sync.Mutex
	queue list.List // of chan struct{}, closed with a place taken for who waits
}

// take takes a place unless most are taken; 0 is no bound.
func (g *gate) take(most int64) bool {
	for {
		n := g.inFlight.Load()
		if most > 0 && n >= most {
			return false
		}
		if g.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// enter takes a place, waiting for one behind those who came before. It reports false when there was none in time.
func (g *gate) enter(ctx context.Context, most int64) bool {
	if g.waiting.Load() == 0 && g.take(most) {
		return true
	}
	place := make(chan struct{})
	g.mu.Lock()
	e := g.queue.PushBack(place)
	g.waiting.Add(1) // before the look that follows: who leaves after it sees somebody wait
	g.admitLocked(most)
	g.mu.Unlock()
	timer := time.NewTimer(gateWait)
	defer timer.Stop()
	select {
	case <-place:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-place: // it came at the last moment
		return true
	default:
	}
	g.queue.Remove(e)
	g.waiting.Add(-1)
	return false
}

// leave gives a place to who waits longest, or back.
func (g *gate) leave(most int64) {
	g.inFlight.Add(-1)
	if g.waiting.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitLocked(most)
}

func (g *gate) admitLocked(most int64) {
	for e := g.queue.Front(); e != nil && g.take(most); e = g.queue.Front() {
		close(g.queue.Remove(e).(chan struct{}))
		g.waiting.Add(-1)
	}
}
