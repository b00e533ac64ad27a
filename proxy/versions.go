package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// History is what a secret's upstream tells of its versions, the newest first.
type History struct {
	Versions []secret.VersionInfo
	Decision string
}

// Versions tells the versions of a secret, never a value. A field has those of the object it is in now.
func (p *Proxy) Versions(ctx context.Context, c *Call, path secret.Path) (History, error) {
	t := p.begin(c, policy.List)
	defer p.end(t)
	t.rec.Action, t.rec.Resource.Path = audit.ActionVersions, path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return History{}, err
	}
	m, err := p.decide(ctx, t, path, secret.Current)
	if err != nil {
		return History{}, err
	}
	if !p.room(t) {
		return History{}, p.refuse(ctx, t, overloaded())
	}
	all, err := m.versions(t.bounded(ctx), path)
	if err != nil {
		return History{}, p.refuse(ctx, t, because(err))
	}
	t.rec.Result.Status, t.rec.Result.Returned = 200, len(all)
	if err := p.record(ctx, t); err != nil {
		return History{}, err
	}
	return History{Versions: all, Decision: t.rec.ID}, nil
}

func (m *mount) versions(ctx context.Context, path secret.Path) ([]secret.VersionInfo, error) {
	key, err := m.key(path, secret.Current)
	if err != nil {
		return nil, err
	}
	if m.versioner == nil {
		return nil, fail(api.MethodNotAllowed, "the upstream of this path does not tell its versions")
	}
	if key.Fields {
		// Whether there is such a field is for the object to say.
		entry, err := m.cache.Get(ctx, key, m.TTL, m.load)
		if err != nil {
			return nil, err
		}
		_, err = field(&entry, path.Name())
		entry.Release()
		if err != nil {
			return nil, err
		}
	}
	all, err := m.versioner.Versions(ctx, key.Name)
	if err != nil {
		return nil, explained(err)
	}
	return all, nil
}
