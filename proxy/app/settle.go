package app

import "errors"

// ErrUnusable: what the configuration names does not go together, as the log says. Nothing may be served.
var ErrUnusable = errors.New("the configuration cannot be used")

// Settled waits for what Options.ChecksLater left to be done beside the start, a millisecond at most. An error, which
// wraps ErrUnusable, stays: every request must be refused.
func (a *App) Settled() error { return a.settled() }

// check does what New waits for, or notes what it need not wait for.
func (b *builder) check(f func() error) error {
	if !b.later {
		return f()
	}
	b.checks = append(b.checks, f)
	return nil
}

func (b *builder) checkAll() error {
	for _, f := range b.checks {
		if err := f(); err != nil {
			b.env.Logger.Error("nothing is served", "error", err.Error())
			return ErrUnusable
		}
	}
	return nil
}
