package guard

import (
	"sync"
	"time"
)

// breaker leaves an upstream alone that failed limit times in a row. After cooldown one request, the probe, may try; the
// others are refused until it is back. A nil breaker never opens.
type breaker struct {
	limit    int
	cooldown time.Duration

	mu       sync.Mutex
	failures int // in a row
	open     bool
	since    time.Duration // when it opened
	probing  bool          // the probe is out
	era      uint64        // counts openings: a request of an earlier era tells nothing about this one
}

// ticket is a request's leave to go to the upstream.
type ticket struct {
	probe bool
	era   uint64
}

func (b *breaker) enter(now time.Duration) (ticket, bool) {
	if b == nil {
		return ticket{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return ticket{era: b.era}, true
	case b.refusesLocked(now):
		return ticket{}, false
	}
	b.probing = true
	return ticket{probe: true, era: b.era}, true
}

// refuses says what enter would, without taking the probe's place.
func (b *breaker) refuses(now time.Duration) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusesLocked(now)
}

func (b *breaker) refusesLocked(now time.Duration) bool {
	return b.open && (b.probing || now-b.since < b.cooldown)
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
	switch v {
	case unknown:
	case healthy:
		b.failures, b.open = 0, false
	case failed:
		if b.failures++; b.failures >= b.limit || t.probe {
			b.open, b.since = true, now
			if !t.probe {
				b.era++
			}
		}
	}
}

func (b *breaker) isOpen() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}
