package jwks

import "time"

// clock is the two clocks that ages are measured by.
type clock struct {
	wall func() time.Time
	mono func() time.Duration
}

// moment is one reading of both.
type moment struct {
	wall time.Time
	mono time.Duration
}

func (c clock) now() moment { return moment{c.wall().Round(0), c.mono()} }

// since is how much time passed from earlier to m, by the clock that says more: one stops while the process is frozen,
// the other can be set back. It never is negative.
func (m moment) since(earlier moment) time.Duration {
	return max(0, m.mono-earlier.mono, m.wall.Sub(earlier.wall))
}
