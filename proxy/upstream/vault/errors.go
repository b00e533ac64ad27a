package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

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
	ErrClosed = fmt.Errorf("%w: closed", secret.ErrUnavailable)
)

// errClientCertificate: what we would show to the server cannot be read or does not fit together.
var errClientCertificate = errors.New("no good client certificate to show")

// errRefused is a 403 of the vault itself. It becomes secret.ErrDenied, or ErrLogin, where it is known what was refused.
var errRefused = errors.New("refused")

// unreached says why there was no answer, in words of our own: the text of the library may quote what the other side
// sent.
func unreached(ctx context.Context, err error) error {
	if done := contextError(ctx); done != nil {
		return done
	}
	var timeout net.Error
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errClientCertificate):
		return fmt.Errorf("%w: %w", secret.ErrUnavailable, errClientCertificate)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: its certificate is not trusted", secret.ErrUnavailable)
	case errors.As(err, &alert):
		return fmt.Errorf("%w: it refuses the TLS handshake, perhaps for want of a client certificate", secret.ErrUnavailable)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w: it does not speak TLS", secret.ErrUnavailable)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: no connection or no answer in time", secret.ErrTimeout)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("%w: cannot connect: %w", secret.ErrUnavailable, dial.Err)
	}
	return fmt.Errorf("%w: the connection failed", secret.ErrUnavailable)
}

// contextError is nil until ctx is done, and then what the contract of secret.Upstream wants.
func contextError(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), ErrClosed):
		return ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", secret.ErrTimeout, err)
	default:
		return err
	}
}
