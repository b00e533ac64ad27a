package guard

import (
	"errors"
	"sync"
)

// Shared is the failure of one request that several reads waited for, each of which must get the same value of Shared. A
// Guard counts it once, and one retry of its budget pays for all of them: else a request for many that fails would look
// like an outage.
func Shared(err error) error { return &shared{err: err} }

type shared struct {
	err error

	mu      sync.Mutex
	counted bool
	paid    bool
}

func (s *shared) Error() string { return s.err.Error() }

func (s *shared) Unwrap() error { return s.err }

// uncounted reports whether the failure has not been counted yet. Whoever asks counts it.
func uncounted(err error) bool {
	var s *shared
	if !errors.As(err, &s) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.counted
	s.counted = true
	return first
}

// pay takes a retry from the budget, unless one who shares the failure did.
func pay(err error, take func() bool) bool {
	var s *shared
	if !errors.As(err, &s) {
		return take()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paid = s.paid || take()
	return s.paid
}
