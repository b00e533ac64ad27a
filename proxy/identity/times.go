package identity

import (
	"fmt"
	"math"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// window is when a token may be used, in seconds since 1970. Leeway is not in it yet.
type window struct{ notBefore, issued, expires int64 }

func (c *Claims) window() window {
	return window{c.NotBefore.Unix(), c.IssuedAt.Unix(), c.Expires.Unix()}
}

// readWindow reads the times of a token that may do without nbf, which then is iat.
func readWindow(n *strictjson.Node) (window, error) {
	var w window
	for _, t := range []struct {
		into *int64
		name string
	}{{&w.expires, "exp"}, {&w.issued, "iat"}, {&w.notBefore, "nbf"}} {
		claim := n.Get(t.name)
		if t.name == "nbf" && claim == nil {
			w.notBefore = w.issued
			continue
		}
		at, err := instant(claim, t.name)
		if err != nil {
			return window{}, err
		}
		*t.into = at.Unix()
	}
	return w, nil
}

// life is how long the token lives. Times reach to the year 9999, a Duration to 292 years: beyond that it is the longest.
func (w window) life() time.Duration {
	return time.Duration(min(w.expires-w.issued, int64(math.MaxInt64/time.Second))) * time.Second
}

// check holds the window against the clock. It runs at every use of a token, cached or not: clocks also go back.
func (w window) check(now time.Time) error {
	const leeway = int64(Leeway / time.Second)
	s := now.Unix()
	switch {
	case s >= w.expires+leeway:
		return ErrExpired
	case s < w.issued-leeway: // first, since nbf may only stand for it
		return errIssuedLater
	case s < w.notBefore-leeway:
		return errTooEarly
	}
	return nil
}

// checkLife holds the window against itself and the longest life allowed.
func (w window) checkLife(maxTTL time.Duration) error {
	switch {
	case w.expires <= w.issued, w.expires <= w.notBefore:
		return errNoLife
	case w.expires-w.issued > int64(maxTTL/time.Second):
		return invalid("the token lives longer than is allowed here")
	}
	return nil
}

var (
	errTooEarly    = invalid("nbf is in the future")
	errIssuedLater = invalid("iat is in the future")
	errNoLife      = invalid("exp is not after iat and nbf")
)

// lifeOf is the longest life a verifier accepts.
func lifeOf(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return MaxTTL, nil
	case d < time.Second || d > MaxTTL:
		return 0, fmt.Errorf("max TTL %v: want 1s to %v", d, MaxTTL)
	}
	return d, nil
}
