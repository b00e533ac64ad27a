package awsjson

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Times of a session.
const (
	// renewAhead is how long before its end a session is renewed.
	renewAhead = 5 * time.Minute
	// renewPause is how long a session that nears its end is used before others are asked for again: after that failed, or
	// brought some that near their end as well, which is what some sources have until shortly before.
	renewPause = 5 * time.Second
	// refusalHolds is how long after new credentials a refusal is final without others. A caller who keeps asking for
	// what we may not read must not make a login of each question, nor where no login helps, as in a region that the
	// account has not enabled.
	refusalHolds = time.Minute
)

// session is credentials and when we got them. It does not change.
type session struct {
	creds aws.Credentials
	since time.Time // by the wall clock
}

func (s *session) left(now time.Time) time.Duration {
	return s.creds.Expires.Round(0).Sub(now.Round(0))
}

func (s *session) alive(now time.Time) bool { return !s.creds.CanExpire || s.left(now) > 0 }

func (s *session) fresh(now time.Time) bool { return !s.creds.CanExpire || s.left(now) > renewAhead }

// young reports whether s was got so lately that others would be no better. A clock that was set back makes none young.
func (s *session) young(now time.Time) bool {
	age := now.Round(0).Sub(s.since.Round(0))
	return 0 <= age && age < refusalHolds
}

// keeper keeps one set of credentials for all calls. Whichever call finds that there is something to do does it; those
// that cannot go on without wait for it, each no longer than its own context.
type keeper struct {
	provider Provider
	wall     func() time.Time

	mu     sync.Mutex
	now    *session
	flight *flight   // a fetch that is under way
	pause  time.Time // do not try to renew before
	vain   *session  // was got in place of one that was not taken, and was not taken either
}

// flight is one fetch. s and err are set when done is closed; gone means that whoever made it went away.
type flight struct {
	done chan struct{}
	s    *session
	err  error
	gone bool
}

// get returns credentials to sign with.
func (k *keeper) get(ctx context.Context) (*session, error) {
	return k.need(ctx, func(s *session, now time.Time) bool { return s == nil || !s.alive(now) })
}

// renew returns other credentials than those that AWS did not take, or the same where there are no others. denied means
// that AWS knew them, and refused what was asked.
func (k *keeper) renew(ctx context.Context, refused *session, denied bool) (*session, error) {
	k.mu.Lock()
	vain := k.vain == refused
	k.mu.Unlock()
	if (denied || vain) && refused.young(k.wall()) {
		return refused, nil
	}
	return k.need(ctx, func(s *session, now time.Time) bool { return s == nil || s == refused || !s.alive(now) })
}

// inVain says of new credentials that AWS takes them no more than those before: it is not the credentials.
func (k *keeper) inVain(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.vain = s
}

// need returns a session for which missing is false, fetching one if there is none.
func (k *keeper) need(ctx context.Context, missing func(*session, time.Time) bool) (*session, error) {
	for {
		if err := contextError(ctx); err != nil {
			return nil, err
		}
		k.mu.Lock()
		s, now := k.now, k.wall()
		usable := !missing(s, now)
		if usable && (s.fresh(now) || k.flight != nil || k.pausedLocked(now)) {
			k.mu.Unlock()
			return s, nil
		}
		f := k.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			k.flight = f
			k.mu.Unlock()
			k.fly(ctx, f)
			if f.err != nil && usable {
				return s, nil // it lives still
			}
			return f.s, f.err
		}
		k.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, contextError(ctx)
		}
		if !f.gone {
			return f.s, f.err
		}
	}
}

func (k *keeper) pausedLocked(now time.Time) bool {
	left := k.pause.Round(0).Sub(now.Round(0))
	return 0 < left && left <= renewPause
}

func (k *keeper) fly(ctx context.Context, f *flight) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.flight = nil
		switch {
		case f.s != nil:
			k.now = f.s
		case f.err == nil:
			f.err = fmt.Errorf("%w: fetching them came to nothing", ErrLogin) // a panic of the provider
		}
		if now := k.wall(); f.err != nil || !f.s.fresh(now) {
			k.pause = now.Add(renewPause)
		}
		close(f.done)
	}()
	since := k.wall()
	creds, err := k.provider.Retrieve(ctx)
	switch done := contextError(ctx); {
	case err == nil && creds.HasKeys():
		f.s = &session{creds, since}
	case err == nil:
		f.err = fmt.Errorf("%w are empty", ErrLogin)
	case done != nil:
		f.err, f.gone = done, true
	case errors.Is(err, ErrLogin), errors.Is(err, ErrClock), errors.Is(err, ErrClosed):
		f.err = err
	default:
		// Texts of other providers may quote what they were answered.
		f.err = fmt.Errorf("%w cannot be had", ErrLogin)
	}
}
