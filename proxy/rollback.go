package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Rollback writes the value of an earlier version as a new one, with the metadata that the secret has now. Both versions
// are read before the intent is recorded, and the write takes place only if the current one has not changed by then:
// of two writers at the same time one gets version_conflict, and nothing is lost unseen. The value is not released.
func (p *Proxy) Rollback(ctx context.Context, c *Call, path secret.Path, to secret.Version) (Written, error) {
	t := p.begin(c, policy.WriteTo)
	defer p.end(t)
	t.rec.Action, t.rec.Resource.Path = audit.ActionRollback, path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Written{}, err
	}
	m, err := p.decide(ctx, t, path, to)
	if err != nil {
		return Written{}, err
	}
	name, err := m.writable(path)
	if err != nil {
		return Written{}, p.refuse(ctx, t, because(err))
	}
	if !p.room(t) {
		return Written{}, p.refuse(ctx, t, overloaded())
	}
	w, err := m.restore(t.bounded(ctx), name, to)
	if err != nil {
		return Written{}, p.refuse(ctx, t, because(err))
	}
	defer w.Secret.Wipe()
	t.rec.Resource.Version = string(w.Secret.Version)
	done, err := p.change(ctx, t, m, name, func(ctx context.Context) (outcome, error) {
		v, _, err := m.writer.Write(ctx, name, w)
		if errors.Is(err, secret.ErrConflict) {
			e := fail(api.VersionConflict, "the secret was changed at the same time; look at its versions and retry")
			e.Cause = err
			err = e
		}
		return outcome{version: v, status: writeStatus(false), mac: p.audit.SecretMAC(w.Secret)}, err
	})
	if err != nil {
		return Written{}, err
	}
	return Written{Path: path, Version: done.version, Decision: done.intent}, nil
}

// restore prepares the write that makes version v of the object current again. The caller wipes its secret.
func (m *mount) restore(ctx context.Context, name string, v secret.Version) (secret.Write, error) {
	// The current version first: where another one is written from here on, the write will see a conflict, also when
	// "previous" has come to mean another version.
	now, err := m.reader.Read(ctx, name, secret.Current)
	if err != nil {
		return secret.Write{}, fmt.Errorf("reading the current version: %w", explained(err))
	}
	defer now.Wipe()
	old, err := m.reader.Read(ctx, name, v)
	if err != nil {
		return secret.Write{}, fmt.Errorf("reading the version to restore: %w", explained(err))
	}
	old.Metadata = nil // the secret keeps what it has
	return secret.Write{Secret: old, IfVersion: now.Version}, nil
}
