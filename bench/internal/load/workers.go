package load

import (
	"context"
	"sync"
	"time"
)

// workers send requests over as few connections as will do: the one that became free last comes first, so that a server
// which keeps up sees few of them busy and one that does not sees more and more.
type workers struct {
	unsent int
	busy   sync.WaitGroup

	mu   sync.Mutex
	free []*caller
}

// send does not wait for the answer.
func (w *workers) send(ctx context.Context, r Request, until time.Time) {
	c := w.take()
	if c == nil {
		w.unsent++
		return
	}
	w.busy.Go(func() {
		c.ask(ctx, r, until)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.free = append(w.free, c)
	})
}

func (w *workers) take() *caller {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.free)
	if n == 0 {
		return nil
	}
	c := w.free[n-1]
	w.free = w.free[:n-1]
	return c
}
