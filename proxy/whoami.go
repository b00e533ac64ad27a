package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Whoami verifies the token of c and returns its principal. Only a refusal is recorded.
func (p *Proxy) Whoami(ctx context.Context, c *Call) (*policy.Principal, error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return nil, err
	}
	t.rec.Action = audit.ActionAuthenticate
	if err := p.current(ctx, t, Bounded, false); err != nil {
		return nil, err
	}
	return pr, nil
}
