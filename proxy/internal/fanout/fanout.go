// Package fanout tells any number of watchers that a number has grown. A watcher who is slow finds the latest number
// only, never a backlog, and never an older one.
package fanout

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed: the hub was closed.
var ErrClosed = errors.New("closed")

// Hub is ready to use as its zero value and safe for concurrent use.
type Hub struct {
	wg sync.WaitGroup // functions waiting for contexts

	mu       sync.Mutex
	closed   bool
	latest   uint64
	watchers map[*watcher]struct{}
}

type watcher struct {
	ch   chan uint64 // holds the latest number not yet received
	stop func() bool
}

// Watch returns a channel of the numbers told from now on. It is closed when ctx is done or the hub is closed.
func (h *Hub) Watch(ctx context.Context) (<-chan uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	w := &watcher{ch: make(chan uint64, 1)}
	if h.watchers == nil {
		h.watchers = map[*watcher]struct{}{}
	}
	h.watchers[w] = struct{}{}
	h.wg.Add(1)
	w.stop = context.AfterFunc(ctx, func() {
		defer h.wg.Done()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.dropLocked(w)
	})
	return w.ch, nil
}

// Tell sends n to every watcher, unless a number at least as large was told before. It never blocks.
func (h *Hub) Tell(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n <= h.latest {
		return
	}
	h.latest = n
	for w := range h.watchers {
		select {
		case <-w.ch:
		default:
		}
		w.ch <- n // there is room: nobody else sends, and the lock is held
	}
}

// Close closes every channel and waits for the hub's goroutines.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for w := range h.watchers {
		if w.stop() {
			h.wg.Done()
		}
		h.dropLocked(w)
	}
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *Hub) dropLocked(w *watcher) {
	if _, ok := h.watchers[w]; ok {
		delete(h.watchers, w)
		close(w.ch)
	}
}
