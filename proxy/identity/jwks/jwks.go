// Package jwks keeps the keys of other issuers: one Source for each issuer fetches its JWK Set over HTTPS and remembers it.
//
// Its laws:
//   - Callers choose nothing: where keys come from is configuration, and a token's kid is looked up, never followed or
//     remembered. However many kids nobody has, they cost one fetch in 30 seconds, and no caller whose key is known waits
//     for it.
//   - It stays up: while an issuer cannot be reached, or answers nonsense, its last good keys serve for up to 24 hours. Only
//     a good answer replaces a set, and it replaces all of it: a key that it lacks is gone.
//   - Ages go by the clock that says more, so those of a process that was frozen count the time it was.
//   - Connections go to public addresses only, which is looked at when they are made, whatever name led there; there are no
//     redirects and no proxies.
//   - What an issuer answers is never in an error for a caller. The log says which issuer failed, and why.
//
// Nothing happens between requests: fetches are begun by calls of Keys, also those that nobody waits for.
package jwks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// Config is what a Source needs.
type Config struct {
	// Issuer is the iss of the issuer's tokens, exactly; required, at most 512 bytes. Without JWKSURI it is an https URL.
	Issuer string
	// JWKSURI is where the issuer's JWK Set is, an https URL on any host. Where it is empty, OpenID Connect Discovery 1.0
	// names it: the document at Issuer + "/.well-known/openid-configuration", which must be for exactly this issuer and
	// name a place on the same host.
	JWKSURI string
	Bundled *identity.KeySet // serves until a fetch has succeeded for the first time; nil is none
	Roots   *x509.CertPool   // authorities that may have signed the issuer's certificate; nil means those of the system
	// AllowPrivate takes addresses that are loopback or private (RFC 1918, RFC 4193, RFC 6598), and in URLs ports other
	// than 443 and IP addresses. Link-local addresses and those of metadata services are never taken.
	AllowPrivate bool

	Wall   func() time.Time     // default time.Now; also runs while we are frozen
	Mono   func() time.Duration // nil means the runtime's monotonic clock
	Rand   func() float64       // in [0,1), spreads pauses; nil means math/rand/v2
	Logger *slog.Logger         // nil discards
}

// New checks the configuration. It reads nothing from the network: that is for the first call of Keys.
func New(c Config) (*Source, error) {
	e, err := newEndpoint(&c)
	if err != nil {
		return nil, err
	}
	return newSource(c, e.fetch), nil
}

func newSource(c Config, fetch fetcher) *Source {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Mono == nil {
		start := time.Now()
		c.Mono = func() time.Duration { return time.Since(start) }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		fetch: fetch, clock: clock{c.Wall, c.Mono}, random: c.Rand,
		log: c.Logger.With("issuer", c.Issuer),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if c.Bundled != nil {
		s.current.Store(&held{keys: c.Bundled, bundled: true})
	}
	return s
}

func newEndpoint(c *Config) (*endpoint, error) {
	if c.Issuer == "" || len(c.Issuer) > maxIssuerBytes {
		return nil, errors.New("issuer: want the iss of its tokens, of at most 512 bytes")
	}
	e := &endpoint{issuer: c.Issuer, private: c.AllowPrivate, client: newClient(c.Roots, c.AllowPrivate)}
	var err error
	if c.JWKSURI != "" {
		if e.keys, err = trust.ParseLocation(c.JWKSURI, c.AllowPrivate); err != nil {
			return nil, fmt.Errorf("jwks_uri: %w", err)
		}
		return e, nil
	}
	if e.discovery, err = trust.DiscoveryOf(c.Issuer, c.AllowPrivate); err != nil {
		return nil, fmt.Errorf("issuer: %w; or say with jwks_uri where its keys are", err)
	}
	return e, nil
}

const maxIssuerBytes = 512

// Fetch gets the keys of an issuer once and remembers nothing, for who wants to know whether they can be fetched, and why
// not. It takes 5 seconds at most. Its errors quote nothing of what the issuer answers.
func Fetch(ctx context.Context, c Config) (*identity.KeySet, error) {
	e, err := newEndpoint(&c)
	if err != nil {
		return nil, err
	}
	keys, _, err := e.fetch(ctx)
	return keys, err
}
