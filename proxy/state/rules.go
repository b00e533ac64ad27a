package state

import (
	"fmt"
	"slices"
	"time"
)

// What follows is for implementations of Store, so that all follow one set of rules.

// LiftRetention is how long a Lift stays in the log, at least, whatever its ExpiresAt: what it lifted is gone from the
// snapshot at once, but those who follow the log must see it. When a store has let go of a Lift, it answers ErrCompacted
// to those who had not read that far. A Lift cannot be lifted.
const LiftRetention = 24 * time.Hour

// Stored returns f as a store keeps it: times in UTC without a monotonic reading, At set if it was not, bytes copied.
func Stored(f Fact, now time.Time) Fact {
	if f.At.IsZero() {
		f.At = now
	}
	f.At = f.At.Round(0).UTC()
	if !f.ExpiresAt.IsZero() {
		f.ExpiresAt = f.ExpiresAt.Round(0).UTC()
	}
	f.Payload = slices.Clone(f.Payload)
	return f
}

// Expired reports whether f no longer holds at now.
func (f *Fact) Expired(now time.Time) bool { return !f.ExpiresAt.IsZero() && !now.Before(f.ExpiresAt) }

// DropAt is when a store that takes f at now may let go of it. Zero means never.
func (f *Fact) DropAt(now time.Time) time.Time {
	if f.Kind == Lift {
		return now.Add(LiftRetention)
	}
	return f.ExpiresAt
}

// LeavesGap reports whether those who had not read f miss something once it is let go of. What expires has told its
// readers when it would; what is lifted leaves the Lift.
func (f *Fact) LeavesGap() bool { return f.Kind == Lift }

// Hidden reports whether Since(seq) leaves f out, which is held, at now.
func (f *Fact) Hidden(seq uint64, now time.Time) bool {
	if f.Kind == Lift {
		return seq == 0 // a snapshot has nothing that was lifted
	}
	return f.Expired(now)
}

// CheckSince returns ErrCompacted where Since(seq) cannot be answered by a log that ends at last and has let go of the
// Lift horizon: the reader had not read that far, or has read further than the log goes, so it read another log.
func CheckSince(seq, horizon, last uint64) error {
	switch {
	case seq > last:
		return fmt.Errorf("%w: asked for what follows %d, the log ends at %d", ErrCompacted, seq, last)
	case seq > 0 && seq < horizon:
		return fmt.Errorf("%w: asked for what follows %d, the log is whole from %d on", ErrCompacted, seq, horizon)
	}
	return nil
}
