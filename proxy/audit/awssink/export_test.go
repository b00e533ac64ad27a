package awssink

import "time"

// The times of a batch, and of one attempt of it.
const (
	Patience = patience
	Attempt  = attemptTimeout
)

// SetMost gives parts another size.
func SetMost(s *Sink, bytes int) { s.most = bytes }

// SetTimes gives a batch, and one attempt of it, another time.
func SetTimes(s *Sink, patience, attempt time.Duration) { s.times = times{patience, attempt} }
