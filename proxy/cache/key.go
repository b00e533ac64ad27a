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
	Path    secret.Path    // the path callers ask for, which invalidations match
	Fields  bool           // callers ask for the paths one segment below Path instead, of which each is a field of the object
	Version secret.Version // the selector, as asked
}

// own copies the strings, which may be parts of a request's far larger buffers. They lie side by side, and the path in
// the name where that ends with it, so that comparing a key touches little memory.
func (k Key) own() Key {
	path := k.Path.String()
	within := strings.HasSuffix(k.Name, path)
	all := k.Mount + string(k.Version) + k.Name
	if !within {
		all += path
	}
	cut := func(n int) (part string) {
		part, all = all[:n], all[n:]
		return part
	}
	k.Mount, k.Version = cut(len(k.Mount)), secret.Version(cut(len(k.Version)))
	if within {
		path = all[len(all)-len(path):]
	} else {
		path = all[len(k.Name):]
	}
	k.Name = cut(len(k.Name))
	if p, err := secret.ParsePath(path); err == nil { // a Path is valid, or zero and has nothing to copy
		k.Path = p
	}
	return k
}

func (k Key) size() int {
	return len(k.Mount) + len(k.Name) + len(k.Path.String()) + len(k.Version)
}

// place is where callers see what a key names, which is how an invalidation finds it.
type place struct {
	path   secret.Path
	fields bool
}

func (k Key) place() place { return place{k.Path, k.Fields} }

// matches reports whether p matches a path that is seen here. Of an object whose fields are paths one is enough: its
// fields are one value, of which no part is known to hold when another does not.
func (at place) matches(p secret.Pattern) bool {
	if at.fields {
		return p.MatchJustBelow(at.path)
	}
	return p.Match(at.path)
}

// TTL bounds the age of what Get may serve, counted from the start of the upstream read. Hard at or below zero serves
// nothing from the cache and keeps nothing; concurrent callers still share one read. Soft at or above Hard means no
// refresh before the hard TTL.
type TTL struct {
	Soft, Hard time.Duration
	// Stale is the age up to which an entry past Hard is served while its upstream fails. Up to Hard it adds nothing.
	Stale time.Duration
	// Keep is the age up to which an entry stays although this caller is not served it: others may be, of whose paths it
	// is the value too. Up to Hard and Stale it adds nothing.
	Keep time.Duration
	// Negative is how long it is remembered, more or less a random half, that there is no such secret; 0 never.
	Negative time.Duration
}

// keep is how old an entry may get in memory.
func (t TTL) keep() time.Duration {
	if t.Hard <= 0 {
		return 0
	}
	return max(t.serve(), t.Keep)
}

// serve is how old an entry may get that this caller is served.
func (t TTL) serve() time.Duration { return max(t.Hard, t.Stale) }

// Load reads the secret of k from its upstream. It must honour ctx, which is that of the read, not of any caller, and
// carries a deadline; the secret it returns becomes the cache's. It gets the key so that one function serves every
// request of a mount, and a hit costs no closure.
type Load func(ctx context.Context, k Key) (*secret.Secret, error)
