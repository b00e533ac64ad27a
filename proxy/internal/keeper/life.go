package keeper

import "time"

// Life is the time in which a session can be used, for sessions to embed.
type Life struct {
	Since time.Time     // by the wall clock, before it was asked for
	TTL   time.Duration // 0: its end is not known, or there is none
}

// RenewPart is the part of its life that is left when a session is not fresh any more: a fifth.
const RenewPart = 5

// Age is negative where the clock was set back.
func (l Life) Age(now time.Time) time.Duration { return now.Round(0).Sub(l.Since.Round(0)) }

// Alive implements Session.
func (l Life) Alive(now time.Time) bool {
	age := l.Age(now)
	return l.TTL == 0 || 0 <= age && age < l.TTL
}

// Fresh implements Session.
func (l Life) Fresh(now time.Time) bool {
	return l.Alive(now) && (l.TTL == 0 || l.Age(now) < l.TTL-l.TTL/RenewPart)
}
