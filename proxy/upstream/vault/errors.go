package vault

import (
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var (
	// ErrLogin: the vault refused our login, or what we log in with could not be read. It tells nothing about any secret.
	// Check role, credentials and the mount of the auth method. It is a kind of secret.ErrUnavailable.
	ErrLogin = fmt.Errorf("%w: cannot log in", secret.ErrUnavailable)
	// ErrMalformed: an answer is not what a key/value engine answers, such as the page of a gateway, an answer that is
	// cut short, or that of another engine. Check address, mount and version. It is a kind of secret.ErrUnavailable.
	ErrMalformed = fmt.Errorf("%w: the answer is not that of a key/value engine", secret.ErrUnavailable)
	// ErrNoRoute: the vault knows no such mount, namespace or route. It is a kind of secret.ErrUnavailable.
	ErrNoRoute = fmt.Errorf("%w: no such mount, namespace or route", secret.ErrUnavailable)
	// ErrClosed: Close was called. It is a kind of secret.ErrUnavailable.
	ErrClosed = wire.ErrClosed
)

// errRefused is a 403 of the vault itself. It becomes secret.ErrDenied, or ErrLogin, where it is known what was refused.
var errRefused = errors.New("refused")
