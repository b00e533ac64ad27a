package proxy

import (
	"context"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/api"
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
	name, err := m.writable(path)
	if err == nil {
		err = w.Secret.Check()
	}
	if err != nil {
		return Written{}, p.refuse(ctx, t, because(err))
	}
	done, err := p.change(ctx, t, m, name, func(ctx context.Context) (outcome, error) {
		v, created, err := m.writer.Write(ctx, name, w)
		return outcome{version: v, status: writeStatus(created), mac: p.audit.SecretMAC(w.Secret)}, err
	})
	if err != nil {
		return Written{}, err
	}
	return Written{Path: path, Version: done.version, Created: done.status == http.StatusCreated, Decision: done.intent}, nil
}

// writable gives the upstream's name of the object that a change of path is made to.
func (m *mount) writable(path secret.Path) (name string, err error) {
	if m == nil {
		return "", secret.ErrNotFound
	}
	name, _, err = m.object(path)
	switch {
	case err != nil:
		return "", secret.ErrNotFound
	case m.writer == nil:
		return "", fail(api.MethodNotAllowed, "the upstream of this path takes no writes through the proxy")
	case m.Layout == Fields:
		return "", fail(api.MethodNotAllowed, "this path is one field of an object; change the object where the upstream keeps it")
	}
	return name, nil
}

func writeStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}
