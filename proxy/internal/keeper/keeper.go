// Package keeper keeps one login alive for all requests of an upstream.
//
// Its laws:
//   - Nothing runs in the background. Whichever request finds that there is something to do does it, one at a time; those
//     that cannot go on without wait for it, each no longer than its own context.
//   - A login that was given up because its request went away, or had no need of it, counts for nobody else: the next one who waits tries again.
//   - Who waited for a login shares what it gave, even where that ends at once: whom it logs in to may take it still.
//   - A session that lives is used while nothing fresh is to be had in its place, and that is tried again after a pause.
package keeper

import (
	"context"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// renewPause is how long a session that lives, but is not fresh, is used before another is asked for again: after that
// failed, or brought one that is not fresh either, which is all that some have to give until shortly before its end.
const renewPause = 5 * time.Second

// renewTime is how long a login may take while there is a session that lives. One try of a read has four seconds: it must
// not be lost to a login that it could do without, nor count as a failure of the upstream.
const renewTime = 3 * time.Second

// Session is what a login gave. It does not change; the zero value is none.
type Session interface {
	comparable
	// Alive reports whether it can be used.
	Alive(now time.Time) bool
	// Fresh reports whether it is alive and there is nothing to do about it.
	Fresh(now time.Time) bool
}

// Login makes a session. alive is the one that nears its end, to be renewed or replaced; the zero value where there is
// none to go on with. No two run at a time. ctx is that of the request which needs it, and ends after three seconds where
// there is one.
type Login[S Session] func(ctx context.Context, alive S) (S, error)

// Keeper is safe for concurrent use.
type Keeper[S Session] struct {
	wall   func() time.Time
	broken error

	mu     sync.Mutex
	now    S
	flight *flight[S] // a login that is under way
	pause  time.Time  // do not try to renew before
}

// flight is one login. s and err are set when done is closed; gone means that whoever made it went away or can do
// without it.
type flight[S Session] struct {
	done chan struct{}
	s    S
	err  error
	gone bool
}

// New returns a keeper of no session. wall is the clock that sessions live by; broken is what those hear who waited for
// a login that panicked.
func New[S Session](wall func() time.Time, broken error) *Keeper[S] {
	return &Keeper[S]{wall: wall, broken: broken}
}

// Get returns a session that is alive and not refused, by login if there is none; nil refuses none. What a login gave is
// not asked whether it is alive. It fails with the error of a login, or that of ctx.
func (k *Keeper[S]) Get(ctx context.Context, refused func(S) bool, login Login[S]) (S, error) {
	var none S
	for {
		if err := secret.ContextError(ctx); err != nil {
			return none, err
		}
		k.mu.Lock()
		s, now := k.now, k.wall()
		usable := s != none && s.Alive(now) && (refused == nil || !refused(s))
		if usable && (s.Fresh(now) || k.flight != nil || k.pausedLocked(now)) {
			k.mu.Unlock()
			return s, nil
		}
		f := k.flight
		if f == nil {
			f = &flight[S]{done: make(chan struct{}), err: k.broken}
			k.flight = f
			k.mu.Unlock()
			if !usable {
				s = none
			}
			k.fly(ctx, f, s, login)
			if f.err != nil && usable {
				return s, nil // it lives still
			}
			return f.s, f.err
		}
		k.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return none, secret.ContextError(ctx)
		}
		// What is refused may have been renewed meanwhile: that is no other session.
		if !f.gone && (f.err != nil || refused == nil || !refused(f.s)) {
			return f.s, f.err
		}
	}
}

func (k *Keeper[S]) pausedLocked(now time.Time) bool {
	left := k.pause.Round(0).Sub(now.Round(0))
	return 0 < left && left <= renewPause
}

func (k *Keeper[S]) fly(ctx context.Context, f *flight[S], alive S, login Login[S]) {
	var none S
	if alive != none {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, renewTime)
		defer cancel()
	}
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.flight = nil
		if f.err == nil {
			k.now = f.s
		}
		if now := k.wall(); f.err != nil || !f.s.Fresh(now) {
			k.pause = now.Add(renewPause)
		}
		close(f.done)
	}()
	f.s, f.err = login(ctx, alive)
	f.gone = f.err != nil && ctx.Err() != nil
}
