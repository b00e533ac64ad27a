package identity

import (
	"sync"
	"time"
)

// maxReplays bounds the messages that are remembered, of one kind. Only who holds a key can make one, and its rate is
// limited.
const (
	maxReplays = 1 << 16
	minSweep   = 1 << 10
)

// Replays remembers the messages that were taken until their time is over, so that each is taken once. It remembers for
// this process: another node, or this one after a restart, may take a message once more while its time lasts.
type Replays struct {
	mu    sync.Mutex
	until map[string]time.Time // by id
	sweep int                  // how many there are when those whose time is over go
	first time.Time            // none of those that a sweep left goes before
}

// NewReplays remembers nothing yet.
func NewReplays() *Replays { return &Replays{until: map[string]time.Time{}, sweep: minSweep} }

// Take takes the message of this id and reports whether it is the first time. It is remembered until then. Where too many
// are remembered it takes none.
func (r *Replays) Take(id string, until, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.until[id]; taken {
		return false
	}
	if len(r.until) >= r.sweep && now.After(r.first) {
		r.sweepLocked(now)
	}
	if len(r.until) >= maxReplays {
		return false
	}
	r.until[id] = until
	return true
}

// GiveBack makes the message of this id one that was not taken.
func (r *Replays) GiveBack(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, id)
}

func (r *Replays) sweepLocked(now time.Time) {
	r.first = time.Time{}
	for id, until := range r.until {
		switch {
		case now.After(until):
			delete(r.until, id)
		case r.first.IsZero() || until.Before(r.first):
			r.first = until
		}
	}
	r.sweep = min(max(minSweep, 2*len(r.until)), maxReplays)
}
