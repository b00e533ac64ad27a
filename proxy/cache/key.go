package cache

import (
	"context"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Key names one cached value. It is built from configuration and validated paths, never from headers or other raw
// caller input.
type Key struct {
	Mount   string         // the mount's name in the configuration; "" is the root mount's
	Name    string         // the object's name in the upstream
	Field   string         // how fields are laid out; "" for the whole object
	Path    secret.Path    // the path callers ask for, which invalidations match
	Version secret.Version // the selector, as asked
}

// own copies the strings, which may be parts of a request's far larger buffers.
func (k Key) own() Key {
	p, err := secret.ParsePath(strings.Clone(k.Path.String()))
	if err != nil {
		p = k.Path // cannot be: a non-zero Path is valid
	}
	return Key{strings.Clone(k.Mount), strings.Clone(k.Name), strings.Clone(k.Field), p, secret.Version(strings.Clone(string(k.Version)))}
}

func (k Key) size() int {
	return len(k.Mount) + len(k.Name) + len(k.Field) + len(k.Path.String()) + len(k.Version)
}

// TTL bounds the age of what Get may serve, counted from the start of the upstream read. Hard at or below zero serves
// nothing from the cache and keeps nothing; concurrent callers still share one read. Soft at or above Hard means no
// refresh before the hard TTL.
type TTL struct {
	Soft, Hard time.Duration
	// Stale is the age up to which an entry past Hard is served while its upstream fails. Up to Hard it adds nothing.
	Stale time.Duration
	// Negative is how long it is remembered, more or less a random half, that there is no such secret; 0 never.
	Negative time.Duration
}

// keep is how old an entry may get in memory.
func (t TTL) keep() time.Duration {
	if t.Hard <= 0 {
		return 0
	}
	return max(t.Hard, t.Stale)
}

// Load reads the secret of k from its upstream. It must honour ctx, which is that of the read, not of any caller, and
// carries a deadline; the secret it returns becomes the cache's. It gets the key so that one function serves every
// request of a mount, and a hit costs no closure.
type Load func(ctx context.Context, k Key) (*secret.Secret, error)
