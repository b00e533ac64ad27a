package app

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// cutTimeout is how long the requests whose connections were closed at the end have to record what came of them.
const cutTimeout = time.Second

// underway counts the requests that are being answered. They may outlive their connections, and must not outlive the app.
type underway struct {
	n    atomic.Int64
	none chan struct{} // has room for one word that n was 0
}

func newUnderway() *underway { return &underway{none: make(chan struct{}, 1)} }

func (u *underway) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.n.Add(1)
		defer u.end()
		h.ServeHTTP(w, r)
	})
}

func (u *underway) end() {
	if u.n.Add(-1) == 0 {
		select {
		case u.none <- struct{}{}:
		default:
		}
	}
}

// wait returns when none is under way, or ctx is done.
func (u *underway) wait(ctx context.Context) {
	for u.n.Load() > 0 {
		select {
		case <-u.none: // maybe of earlier
		case <-ctx.Done():
			return
		}
	}
}
