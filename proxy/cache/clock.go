package cache

import "time"

// Steps of the wall clock against the monotonic one, between two observations, that count as a jump.
const (
	forwardJump  = time.Second     // a thaw, or a step: missed news is likely
	backwardJump = 5 * time.Second // a step: ages are unsure
)

// instant is one reading of both clocks.
type instant struct {
	wall int64 // Unix milliseconds
	mono time.Duration
}

// since is how much time passed from i to now, by the clock that says more. It never is negative: two readings may be
// taken in one order and compared in the other.
func (i instant) since(now instant) time.Duration {
	return max(0, now.mono-i.mono, time.Duration(now.wall-i.wall)*time.Millisecond)
}

// before is the instant that was age before i; what remains of a millisecond makes it earlier.
func (i instant) before(age time.Duration) instant {
	age = max(0, age)
	return instant{wall: i.wall - int64((age+time.Millisecond-1)/time.Millisecond), mono: i.mono - age}
}

// clock reads both clocks and notices jumps. Its owner's lock guards it, the reading included: readings compared out of
// order would show jumps that never were.
type clock struct {
	wall   func() time.Time
	mono   func() time.Duration
	seen   bool
	offset time.Duration // wall minus monotonic time at the last observation
	thaws  uint64        // forward jumps
	epoch  uint64        // backward jumps: entries of an older epoch are past their soft TTL
}

func (c *clock) observe() instant {
	wall, mono := c.wall(), c.mono()
	offset := time.Duration(wall.UnixNano()) - mono
	if c.seen {
		switch jump := offset - c.offset; {
		case jump > forwardJump:
			c.thaws++
		case jump < -backwardJump:
			c.epoch++
		}
	}
	c.seen, c.offset = true, offset
	return instant{wall: wall.UnixMilli(), mono: mono}
}

// Moment is one look at both clocks.
type Moment struct {
	at instant
	// Thaws is how many times the wall clock has ever been seen to run more than a second ahead of the monotonic one
	// between two looks, as it does when a frozen process thaws.
	Thaws uint64
}

// Since is how much time passed from earlier to m, by the clock that says more. It never is negative.
func (m Moment) Since(earlier Moment) time.Duration { return earlier.at.since(m.at) }

// Observe looks at the clocks, as Get does. An owner calls it before serving each request and remembers the moment at
// which its last generation check started: while Observe returns more thaws, the check must be made again before anything
// is served, by every request that sees it.
func (c *Cache) Observe() Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Moment{c.clock.observe(), c.clock.thaws}
}
