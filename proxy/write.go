package proxy

import (
	"context"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Written is the answer to a write. Its outcome record has been acknowledged and its fact is in the log.
type Written struct {
	Path     secret.Path
	Version  secret.Version
	Created  bool
	Decision string
}

// Write decides, records the intent, makes the change, announces it, records the outcome, and only then answers. The
// bytes of w stay the caller's. Once the intent is recorded a caller who hangs up no longer stops the change.
func (p *Proxy) Write(ctx context.Context, c *Call, path secret.Path, w secret.Write) (Written, error) {
	t := p.begin(c, policy.WriteTo)
	defer p.end(t)
	t.rec.Resource.Path = path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Written{}, err
	}
	m, err := p.decide(ctx, t, path, secret.Current)
	if err != nil {
		return Written{}, err
	}
	name, err := p.writable(t, m, path, w)
	if err != nil {
		return Written{}, p.refuse(ctx, t, because(err))
	}
	return p.change(ctx, t, m, name, w)
}

func (p *Proxy) writable(t *transaction, m *mount, path secret.Path, w secret.Write) (name string, err error) {
	if m == nil {
		return "", secret.ErrNotFound
	}
	name, field, err := m.object(path)
	switch {
	case err != nil:
		return "", secret.ErrNotFound
	case m.writer == nil:
		return "", fail(api.MethodNotAllowed, "the upstream of this path takes no writes through the proxy")
	case field != "":
		return "", fail(api.MethodNotAllowed, "this path is one field of an object; write the object where the upstream keeps it")
	case !p.room(t):
		return "", overloaded()
	}
	return name, w.Secret.Check()
}

func (p *Proxy) change(ctx context.Context, t *transaction, m *mount, name string, w secret.Write) (Written, error) {
	ctx, cancel := detached(ctx)
	defer cancel()
	intent := t.rec.ID
	t.rec.Kind = audit.Intent
	if err := p.record(ctx, t); err != nil {
		return Written{}, err
	}

	version, created, err := m.writer.Write(ctx, name, w)
	if err == nil {
		err = m.outbox.announce(ctx, name)
	} else if !errors.Is(err, secret.ErrConflict) {
		// It may have happened all the same: nothing cached can be relied on.
		m.outbox.forget(name)
	}

	now := p.wall()
	t.rec.ID, t.rec.Time, t.rec.Kind, t.rec.Pair = audit.NewID(now), now, audit.Outcome, intent
	t.rec.Resource.Version = string(version)
	var refusal *Error
	if err != nil {
		refusal = because(err)
		refusal.Decision = intent
		t.rec.Result = audit.Result{Status: refusal.Code.Status(), Code: string(refusal.Code)}
	} else {
		t.rec.Result = audit.Result{Status: writeStatus(created), ValueMAC: p.audit.SecretMAC(w.Secret)}
	}
	if err := p.record(ctx, t); err != nil {
		e := because(err)
		e.Decision = intent
		e.Message = "the change was decided and may have been made, but its outcome could not be recorded; read it before trying again"
		return Written{}, e
	}
	if refusal != nil {
		return Written{}, refusal
	}
	return Written{Path: t.req.Path, Version: version, Created: created, Decision: intent}, nil
}

func writeStatus(created bool) int {
	if created {
		return 201
	}
	return 200
}
