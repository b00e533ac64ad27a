package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Prefetch reads the secrets at these paths into the cache, a few at a time, until ctx is done, and says of each why it is
// not there: an *Error, nil where it is. Nothing is released and nobody is asked about, so that it is no decision and has no
// record: whoever reads one of them later is decided and recorded as if it had been cached for another.
func (p *Proxy) Prefetch(ctx context.Context, paths []secret.Path) []error {
	errs := make([]error, len(paths))
	rules := p.join()
	defer rules.leave()
	each(len(paths), func(i int) {
		if err := p.prefetch(ctx, rules, paths[i]); err != nil {
			errs[i] = because(err)
		}
	})
	return errs
}

func (p *Proxy) prefetch(ctx context.Context, rules *ruleSet, path secret.Path) error {
	m := p.mounts.find(path)
	key, err := m.key(path, secret.Current)
	if err != nil {
		return err
	}
	class, _ := policy.Lookup(rules.labels(m, path), "classification")
	entry, err := p.cache.Get(ctx, key, m.ttl(key, class == restrictedClass), m.load)
	if err != nil {
		return err
	}
	defer entry.Release()
	if key.Fields {
		_, err = field(&entry, path.Name())
	}
	return err
}

// ttl is how long what is cached under a key serves paths of this class.
func (m *mount) ttl(key cache.Key, restricted bool) cache.TTL {
	ttl := m.TTL
	if restricted {
		ttl.Stale = 0
		if key.Fields {
			ttl.Keep = m.TTL.Stale // for the other fields of the object
		}
	}
	return ttl
}
