package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
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

// CheckPolicy compiles the policies and returns their digest.
func CheckPolicy(ctx context.Context, c *config.Config, getenv func(string) string) (digest string, err error) {
	chain, err := alone(c, getenv, time.Now).policy(ctx)
	if err != nil {
		return "", err
	}
	return chain.Digest(), chain.Close(ctx)
}

// alone builds parts of a configuration that nothing serves.
func alone(c *config.Config, getenv func(string) string, wall func() time.Time) *builder {
	return &builder{app: &App{config: c}, env: Env{Config: c, Getenv: getenv, Wall: wall, Logger: slog.New(slog.DiscardHandler)}}
}
