package sim_test

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock has the two clocks of a node. The bubble's time is the monotonic one; the wall clock runs ahead of it by what the
// process slept frozen, and is set back now and then.
type clock struct {
	born  time.Time // of the bubble
	ticks atomic.Uint64

	mu      sync.Mutex
	offset  time.Duration
	stepped bool // set back at least once: from then on only the monotonic clock measures
}

// dawn is what every wall clock shows first, so that tokens can be made before.
var dawn = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func newClock() *clock { return &clock{born: time.Now()} }

func (c *clock) Mono() time.Duration { return time.Since(c.born) }

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return dawn.Add(c.Mono() + c.offset)
}

// pass lets both clocks run.
func (c *clock) pass(d time.Duration) { time.Sleep(d) }

// freeze lets only the wall clock run, as when the process is stopped and continued.
func (c *clock) freeze(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// setBack turns the wall clock back.
func (c *clock) setBack(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset -= d
	c.stepped = true
}

// instant is a moment of the simulation. tick orders moments at which both clocks show the same.
type instant struct {
	tick uint64
	mono time.Duration
	wall time.Duration // since dawn
}

func (c *clock) now() instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.Mono()
	return instant{tick: c.ticks.Add(1), mono: m, wall: m + c.offset}
}

// elapsed is the time from a to b by the clock that says more, once none has been set back.
func (c *clock) elapsed(a, b instant) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stepped {
		return b.mono - a.mono
	}
	return max(b.mono-a.mono, b.wall-a.wall)
}

func (a instant) before(b instant) bool { return a.tick < b.tick }
