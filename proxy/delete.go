package proxy

import (
	"context"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Delete removes every version of a secret, as Write makes one: intent, change, announcement, outcome. Deleting what does
// not exist succeeds as well, and is recorded all the same. It returns the ID of the decision.
func (p *Proxy) Delete(ctx context.Context, c *Call, path secret.Path) (decision string, err error) {
	t := p.begin(c, policy.WriteTo)
	defer p.end(t)
	t.rec.Action, t.rec.Resource.Path = audit.ActionDelete, path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return "", err
	}
	m, err := p.decide(ctx, t, path, secret.Current)
	if err != nil {
		return "", err
	}
	name, err := m.writable(path)
	if err == nil && m.deleter == nil {
		err = fail(api.MethodNotAllowed, "the upstream of this path deletes nothing through the proxy")
	}
	if err != nil {
		return "", p.refuse(ctx, t, because(err))
	}
	done, err := p.change(ctx, t, m, name, func(ctx context.Context) (outcome, error) {
		return outcome{status: http.StatusNoContent}, m.deleter.Delete(ctx, name)
	})
	return done.intent, err
}
