package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ErrClosed: Close was called. It is a kind of secret.ErrUnavailable.
var ErrClosed = fmt.Errorf("%w: closed", secret.ErrUnavailable)

// errClientCertificate: what we would show to the server cannot be read or does not fit together.
var errClientCertificate = errors.New("no good client certificate to show")

// unreached says why there was no answer.
func unreached(ctx context.Context, err error) error {
	if done := contextError(ctx); done != nil {
		return done
	}
	var timeout net.Error
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errClientCertificate):
		return fmt.Errorf("%w: %w", secret.ErrUnavailable, errClientCertificate)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: its certificate is not trusted", secret.ErrUnavailable)
	case errors.As(err, &op) && op.Op == "remote error": // what package tls makes of an alert
		return fmt.Errorf("%w: it refuses the TLS handshake, perhaps for want of a client certificate", secret.ErrUnavailable)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w: it does not speak TLS", secret.ErrUnavailable)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: no connection or no answer in time", secret.ErrTimeout)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%w: cannot connect: %w", secret.ErrUnavailable, op.Err)
	}
	return fmt.Errorf("%w: the connection failed", secret.ErrUnavailable)
}

// contextError is secret.ContextError within a request, which Close ends.
func contextError(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return ErrClosed
	}
	return secret.ContextError(ctx)
}
