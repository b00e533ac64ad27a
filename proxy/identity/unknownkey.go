package identity

import "time"

// UnknownKeyError is an ErrUnknownKey that says when the key may be known: 401 unknown_key with Retry-After.
type UnknownKeyError struct {
	RetryAfter time.Duration // not before then are keys fetched again; more than 0
}

// Error is the same for every kid and issuer.
func (e *UnknownKeyError) Error() string { return ErrUnknownKey.Error() }

// Is says that it is an ErrUnknownKey.
func (e *UnknownKeyError) Is(target error) bool { return target == ErrUnknownKey }
