package state

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Further limits of one fact.
const (
	MaxIDBytes   = 128
	MaxKindBytes = 32
)

// Check holds f against the limits. Its errors wrap ErrInvalidFact. Every store calls it before it takes a fact.
func (f *Fact) Check() error {
	for _, s := range []struct {
		name, value string
		limit       int
	}{{"kind", string(f.Kind), MaxKindBytes}, {"ID", f.ID, MaxIDBytes}, {"subject", f.Subject, MaxSubjectBytes}} {
		switch {
		case s.value == "":
			return fmt.Errorf("%w: no %s", ErrInvalidFact, s.name)
		case len(s.value) > s.limit:
			return fmt.Errorf("%w: a %s of %d bytes, at most %d are allowed", ErrInvalidFact, s.name, len(s.value), s.limit)
		case !utf8.ValidString(s.value):
			return fmt.Errorf("%w: the %s is not UTF-8", ErrInvalidFact, s.name)
		}
	}
	if len(f.Payload) > MaxPayloadBytes {
		return fmt.Errorf("%w: a payload of %d bytes, at most %d are allowed", ErrInvalidFact, len(f.Payload), MaxPayloadBytes)
	}
	// A store may write times as RFC 3339, which has four digits for the year.
	for _, t := range []time.Time{f.At, f.ExpiresAt} {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return fmt.Errorf("%w: a time in the year %d", ErrInvalidFact, y)
		}
	}
	return nil
}
