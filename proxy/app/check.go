package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// CheckKeys reads the keys that sign and verify, and the certificates, as New and Listen do, and opens nothing.
func CheckKeys(c *config.Config, getenv func(string) string, wall func() time.Time) error {
	b := alone(c, getenv, wall)
	var errs []error
	if id, err := b.identity(); err != nil {
		errs = append(errs, fmt.Errorf("identity: %w", err))
	} else {
		errs = append(errs, id.issuers.closeBut(nil))
	}
	if text, err := b.env.Resolve(c.Audit.Key); err != nil {
		errs = append(errs, fmt.Errorf("audit.key: %w", err))
	} else {
		defer clear(text)
		if _, err := audit.ParseKey(text); err != nil {
			errs = append(errs, fmt.Errorf("audit.key: %s: %w", c.Audit.Key, err))
		}
	}
	if c.Listen.Native.TLS != nil {
		if _, err := b.serverTLS(); err != nil {
			errs = append(errs, fmt.Errorf("listen.native.tls: %w", err))
		}
	}
	return errors.Join(errs...)
}

// IssuerCheck says whether the keys of an issuer that trust rules name can be fetched.
type IssuerCheck struct {
	Issuer  string
	Keys    int  // how many can verify a token
	Bundled bool // the configuration has a set to start with
	Err     error
}

// CheckIssuers fetches the keys of every issuer that publishes them, all at the same time, as a server does when their
// first token comes.
func CheckIssuers(ctx context.Context, c *config.Config, getenv func(string) string, wall func() time.Time) []IssuerCheck {
	set, err := c.Identity.TrustSet()
	if err != nil { // CheckKeys tells
		return nil
	}
	var out []IssuerCheck
	var asked []trust.Issuer
	for _, i := range set.Issuers() {
		if !i.Assertion {
			asked = append(asked, i)
			out = append(out, IssuerCheck{Issuer: i.Issuer, Bundled: i.JWKS != ""})
		}
	}
	b := alone(c, getenv, wall)
	var wg sync.WaitGroup
	for n, i := range asked {
		wg.Go(func() { out[n].Keys, out[n].Err = b.fetch(ctx, i) })
	}
	wg.Wait()
	return out
}

func (b *builder) fetch(ctx context.Context, i trust.Issuer) (int, error) {
	ca, err := b.file("ca", i.CA)
	if err != nil {
		return 0, err
	}
	where, err := b.location(i, ca)
	if err != nil {
		return 0, err
	}
	keys, err := jwks.Fetch(ctx, where)
	if err != nil {
		return 0, err
	}
	return keys.Len(), nil
}

// CheckPolicy compiles the policies and returns their digest.
func CheckPolicy(ctx context.Context, c *config.Config, d Drivers, getenv func(string) string) (digest string, err error) {
	b := alone(c, getenv, time.Now)
	b.drivers = d
	chain, err := b.policy(ctx)
	if err != nil {
		return "", err
	}
	return chain.Digest(), chain.Close(ctx)
}

// alone builds parts of a configuration that nothing serves.
func alone(c *config.Config, getenv func(string) string, wall func() time.Time) *builder {
	return &builder{app: &App{config: c}, env: Env{Config: c, Getenv: getenv, Wall: wall, Logger: slog.New(slog.DiscardHandler)}}
}
