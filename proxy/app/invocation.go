package app

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// wordWait is how long a request waits for the word of the invocation that it belongs to, which another connection brings.
const wordWait = 100 * time.Millisecond

// leastTime is what every request has: one that outruns the word of its invocation is taken for a part of the one before,
// which may be about to end.
const leastTime = time.Second

// invocation is the newest one of the program beside us. The zero value knows of none.
type invocation struct {
	mu    sync.Mutex
	until time.Time     // when it fails whoever waits for it; zero before the first
	told  chan struct{} // closed when there is another
}

// Invoked tells that the program beside this one works for somebody, whom it fails at this time.
func (r *Running) Invoked(until time.Time) { r.app.invocation.begin(until) }

func (v *invocation) begin(until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.until = until
	if v.told != nil {
		close(v.told)
	}
	v.told = make(chan struct{})
}

func (v *invocation) newest() (until time.Time, told <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.until, v.told
}

// left is what is left of the invocation at wall, 0 where there is none. Whoever asks after the end of one may be part of
// the next, and waits for the word of it.
func (v *invocation) left(ctx context.Context, wall func() time.Time) time.Duration {
	until, told := v.newest()
	if d := until.Sub(wall()); d > 0 || told == nil {
		return max(d, 0)
	}
	word := time.NewTimer(wordWait)
	defer word.Stop()
	select {
	case <-told:
	case <-word.C:
	case <-ctx.Done():
	}
	until, _ = v.newest()
	return max(until.Sub(wall()), 0)
}

// within ends requests when half of the time is over that the program beside us has left: whatever comes then, a stale
// value or an error, it can still do something with. Outside of its invocations requests have the time of all others.
func (v *invocation) within(h http.Handler, wall func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if left := v.left(r.Context(), wall); left > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), max(left/2, leastTime))
			defer cancel()
			r = r.WithContext(ctx)
		}
		h.ServeHTTP(w, r)
	})
}
