package proxy

import (
	"context"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Backup decides about a copy of the encrypted file of an upstream, and records it before the copy is made. It wants
// scopes that read and list everything. No policy is asked: policies decide about secrets, and without the master key the
// copy holds none. ready is asked once it is decided; its error, an *Error, is what is recorded and answered then.
func (p *Proxy) Backup(ctx context.Context, c *Call, upstream string, ready func() error) (decision string, err error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	t.rec.Action, t.rec.Decision.Reason = audit.ActionBackup, "upstream "+upstream
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return "", err
	}
	if err := p.current(ctx, t, Strict, true); err != nil {
		return "", err
	}
	for _, action := range []policy.Action{policy.Read, policy.List} {
		if !slices.Contains(pr.Scopes, policy.Scope{Action: action, Pattern: secret.Everything()}) {
			t.rec.Decision.Effect = policy.Deny.String()
			return "", p.refuse(ctx, t, fail(api.ScopeDenied, "a backup needs the scopes read:** and list:**"))
		}
	}
	t.rec.Decision.Effect = policy.Allow.String()
	if err := ready(); err != nil {
		return "", p.refuse(ctx, t, because(err))
	}
	t.rec.Result.Status = 200
	return t.rec.ID, p.record(ctx, t)
}
