package proxy

import (
	"context"
	"log/slog"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// refresh is the cache.Load of the mount. Where versions are ordered, a read that would replace a newer version by an
// older one is taken for a replica's that lags behind, and repeated once. What comes back then is accepted: the upstream
// is believed about values, and it may have been restored from a backup.
func (m *mount) refresh(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	s, err := m.read(ctx, k)
	m.complaint.about(ctx, m, k, err)
	if err == nil && m.poller != nil {
		m.poller.watch(k)
	}
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

// goesBack reports whether s is older than what is held under k, by its version and not by its time either.
func (m *mount) goesBack(k cache.Key, s *secret.Secret) bool {
	if m.ordered == nil || s == nil {
		return false
	}
	version, created, ok := m.cache.Held(k)
	return ok && m.ordered.CompareVersions(s.Version, version) < 0 && !s.CreatedAt.After(created)
}
