package keyhole

import (
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var (
	// ErrLogin: the other node does not take our token, gives us none, or what we log in with could not be had. It tells
	// nothing about any secret. Check the credential, the audience and the trust rule of the other node. It is a kind of
	// secret.ErrUnavailable.
	ErrLogin = fmt.Errorf("%w: cannot log in", secret.ErrUnavailable)
	// ErrMalformed: an answer is not what a Keyhole answers, such as the page of a gateway, or one that is cut short. Check
	// the address. It is a kind of secret.ErrUnavailable.
	ErrMalformed = fmt.Errorf("%w: the answer is not that of a Keyhole", secret.ErrUnavailable)
	// ErrClosed: Close was called. It is a kind of secret.ErrUnavailable.
	ErrClosed = wire.ErrClosed
)

// What a new login may help against.
var (
	errUnauthorized = errors.New("the token is not taken")
	errRefused      = errors.New("refused")
)

// errDenied: the other node will not let us, whatever token we have.
var errDenied = fmt.Errorf("%w for what we log in as", secret.ErrDenied)

func malformed(name string) error { return fmt.Errorf("%w: no good %s in it", ErrMalformed, name) }
