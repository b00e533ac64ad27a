package vault

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// session is a token that the vault gave or knows. It does not change.
type session struct {
	token     secret.Value
	since     time.Time     // by the wall clock, before it was asked for
	ttl       time.Duration // 0: it does not end
	renewable bool
	login     uint64 // which login it comes from, renewals included
	// last: it was made because the vault refused the one before. If it is refused at once as well, that is meant.
	last bool
}

// Times of a session.
const (
	// renewPart is the part of its life that is left when a token is renewed: a fifth.
	renewPart = 5
	// renewPause is how long a token that cannot be renewed, but lives, is used before that is tried again.
	renewPause = 5 * time.Second
	// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
	// what we may not read must not make a login of each question.
	refusalHolds = 10 * time.Second
)

// header carries the token. Strings cannot be wiped, so it is made for one request.
func (s *session) header() (http.Header, error) {
	token := s.token.Reveal()
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return nil, fmt.Errorf("%w: the token has a byte that no token has", ErrLogin)
		}
	}
	return http.Header{"X-Vault-Token": {string(token)}}, nil
}

// age is negative where the clock was set back.
func (s *session) age(now time.Time) time.Duration { return now.Round(0).Sub(s.since.Round(0)) }

func (s *session) alive(now time.Time) bool {
	age := s.age(now)
	return s.ttl == 0 || 0 <= age && age < s.ttl
}

// fresh reports whether there is nothing to do about s.
func (s *session) fresh(now time.Time) bool {
	return s.alive(now) && (s.ttl == 0 || s.age(now) < s.ttl-s.ttl/renewPart)
}

// keeper keeps one session alive for all requests. Whichever request finds that there is something to do does it; those
// that cannot go on without wait for it, each no longer than its own context.
type keeper struct {
	wire  *wire
	login Login
	wall  func() time.Time

	mu     sync.Mutex
	now    *session
	logins uint64    // changed by the flight alone
	flight *flight   // a login or renewal that is under way
	pause  time.Time // do not try to renew before
}

// flight is one login or renewal. s and err are set when done is closed; gone means that whoever made it went away.
type flight struct {
	done chan struct{}
	s    *session
	err  error
	gone bool
}

// get returns a session to work with.
func (k *keeper) get(ctx context.Context) (*session, error) {
	return k.need(ctx, func(s *session, now time.Time) bool { return s == nil || !s.alive(now) }, false)
}

// replace returns a session of a later login than the one that the vault refused, or the same if its refusal is final.
func (k *keeper) replace(ctx context.Context, refused *session) (*session, error) {
	if now := k.wall(); refused.last && 0 <= refused.age(now) && refused.age(now) < refusalHolds {
		return refused, nil
	}
	return k.need(ctx, func(s *session, now time.Time) bool { return s == nil || s.login <= refused.login || !s.alive(now) }, true)
}

// need returns a session for which missing is false, making one if there is none.
func (k *keeper) need(ctx context.Context, missing func(*session, time.Time) bool, last bool) (*session, error) {
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
			k.fly(ctx, f, s, usable, last)
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
		if f.err != nil && !f.gone {
			return nil, f.err
		}
	}
}

func (k *keeper) pausedLocked(now time.Time) bool {
	left := k.pause.Round(0).Sub(now.Round(0))
	return 0 < left && left <= renewPause
}

// fly makes a session: s renewed where it is usable, or else a new login.
func (k *keeper) fly(ctx context.Context, f *flight, s *session, usable, last bool) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.flight = nil
		switch {
		case f.err == nil && f.s != nil:
			k.now = f.s
		case f.err == nil:
			f.err = fmt.Errorf("%w: it came to nothing", ErrLogin) // a panic of a Source
		}
		if f.err != nil {
			k.pause = k.wall().Add(renewPause)
		}
		close(f.done)
	}()
	if usable && s.renewable {
		asked := k.wall()
		renewed, err := s.renew(ctx, k.wire, asked)
		// Near the end of its greatest life a renewal adds little: then it is time for another token.
		if err == nil && renewed.ttl > s.ttl-s.age(asked)+s.ttl/renewPart/2 {
			renewed.login = s.login
			f.s = renewed
			return
		}
	}
	f.s, f.err = k.login.begin(ctx, k.wire, k.wall())
	f.gone = f.err != nil && ctx.Err() != nil
	if f.err != nil {
		f.s = nil
		return
	}
	k.logins++
	f.s.login, f.s.last = k.logins, last
}
