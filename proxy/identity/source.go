package identity

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// KeySource gives the keys of one issuer. It is safe for concurrent use.
type KeySource interface {
	// Keys returns a good set of the issuer's keys, which has the one of this kid. It is asked at every use of a token, so
	// what is at hand is given without delay, and a key that the issuer no longer publishes is not given. Errors wrap
	// ErrUnknownKey where there is no such key, or none yet.
	Keys(ctx context.Context, kid string) (*KeySet, error)

	// Has reports whether the key of this kid is at hand. It neither waits nor begins anything.
	Has(kid string) bool
}

// Keys makes a set the source of itself, for issuers whose keys never change while the process runs.
func (s *KeySet) Keys(context.Context, string) (*KeySet, error) { return s, nil }

// heldKeys is a source whose set is replaced as a whole.
type heldKeys struct{ set atomic.Pointer[KeySet] }

func (h *heldKeys) Keys(context.Context, string) (*KeySet, error) { return h.set.Load(), nil }

func (h *heldKeys) Has(kid string) bool { return h.set.Load().Has(kid) }

// unknown makes every failure of a source an ErrUnknownKey: whoever asks cannot tell why the key is not here.
func unknown(err error) error {
	if errors.Is(err, ErrUnknownKey) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknownKey, err)
}
