package proxy

import (
	"context"
	"log/slog"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// refresh is the cache.Load of the mount.
func (m *mount) refresh(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	s, err := m.readForward(ctx, k)
	m.complaint.about(ctx, m, k, err)
	if err == nil && m.poller != nil {
		m.poller.watch(m, k)
	}
	return s, err
}

// readForward reads. Where versions are ordered, a read that would replace a newer version by an older one is taken for a
// replica's that lags behind, and repeated once. What comes back then is accepted: the upstream is believed about values,
// and it may have been restored from a backup.
func (m *mount) readForward(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	s, err := m.read(ctx, k)
	if err != nil || !m.goesBack(k, s) {
		return s, err
	}
	s.Wipe()
	if s, err = m.read(ctx, k); err == nil && m.goesBack(k, s) {
		m.older.Add(1)
		m.log.LogAttrs(ctx, slog.LevelWarn, "the upstream went back to an older version", attrs(
			"upstream", m.UpstreamName, "path", k.Path.String(), "version", string(s.Version))...)
	}
	return s, err
}

// goesBack reports whether s is older than what is held under k.
func (m *mount) goesBack(k cache.Key, s *secret.Secret) bool {
	if s == nil {
		return false
	}
	was, ok := held(m.cache, k)
	return ok && m.precedes(version{s.Version, s.CreatedAt}, was)
}

// version is one of a secret, as it is held or told.
type version struct {
	name    secret.Version
	created time.Time
}

func (v version) is(o version) bool { return v.name == o.name && v.created.Equal(o.created) }

func held(c *cache.Cache, k cache.Key) (v version, ok bool) {
	v.name, v.created, ok = c.Held(k)
	return v, ok
}

// precedes reports whether v is older than o, by its name and not by its time either.
func (m *mount) precedes(v, o version) bool {
	return m.ordered != nil && m.ordered.CompareVersions(v.name, o.name) < 0 && !v.created.After(o.created)
}
