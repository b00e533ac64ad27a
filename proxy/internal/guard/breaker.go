package guard

import (
	"sync"
	"time"
)

// breaker leaves an upstream alone that failed limit times in a row. After cooldown one request, the probe, may try; the
// others are refused until it is back. Where all the failures are one secret's, that secret alone is left alone: whoever
// asks for it again and again must keep nobody from the others. A nil breaker never opens.
type breaker struct {
	limit    int
	cooldown time.Duration

	mu       sync.Mutex
	failures int    // in a row
	name     string // of the first of them
	mixed    bool   // they are of more than that name
	open     bool
	only     string        // what it is open for; "" is everything
	since    time.Duration // when it opened
	probing  bool          // the probe is out
	probed   string        // the name that probed in vain since, so that another has its turn; "" is none
	probedAt time.Duration
	era      uint64 // counts openings: a request of an earlier era tells nothing about this one
}

// ticket is a request's leave to go to the upstream.
type ticket struct {
	name  string // of the secret; "" where it is about none or more
	probe bool
	era   uint64
}

func (b *breaker) enter(now time.Duration, name string) (ticket, bool) {
	if b == nil {
		return ticket{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusesLocked(now, name) {
		return ticket{}, false
	}
	b.probing = b.probing || b.openForLocked(name)
	return ticket{name: name, probe: b.openForLocked(name), era: b.era}, true
}

// refuses says what enter would, without taking the probe's place.
func (b *breaker) refuses(now time.Duration, name string) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusesLocked(now, name)
}

func (b *breaker) openForLocked(name string) bool { return b.open && (b.only == "" || b.only == name) }

func (b *breaker) refusesLocked(now time.Duration, name string) bool {
	if !b.openForLocked(name) {
		return false
	}
	return b.probing || now-b.since < b.cooldown || b.probed != "" && b.probed == name && now-b.probedAt < b.cooldown
}

func (b *breaker) leave(t ticket, v verdict, now time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.era != b.era {
		return
	}
	if t.probe {
		b.probing = false
	}
	switch {
	case v == unknown:
	case v == healthy && t.probe:
		b.failures, b.open, b.only, b.probed = 0, false, "", ""
	case v == healthy:
		b.failures = 0
	case t.probe:
		b.vainLocked(t.name, now)
	default:
		b.failedLocked(t.name, now)
	}
}

// failedLocked counts a failure and opens after enough of them. Where it is open for one name, these are others'.
func (b *breaker) failedLocked(name string, now time.Duration) {
	if b.failures == 0 {
		b.name, b.mixed = name, name == ""
	}
	b.mixed = b.mixed || b.name != name
	if b.failures++; b.failures < b.limit {
		return
	}
	b.only = ""
	if !b.mixed && !b.open {
		b.only = b.name
	}
	b.failures, b.open, b.since, b.probing, b.probed = 0, true, now, false, ""
	b.era++
}

// vainLocked begins the cooldown anew after a probe that failed: for its name, and for all where that was the second.
func (b *breaker) vainLocked(name string, now time.Duration) {
	if b.only != "" || name == "" || b.probed != "" && b.probed != name {
		b.since, b.probed = now, ""
		return
	}
	b.probed, b.probedAt = name, now
}

func (b *breaker) isOpen() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}
