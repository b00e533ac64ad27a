package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Uptake says what a deployment made of a version that it was given.
type Uptake string

// The two outcomes of taking up a version.
const (
	Accepted Uptake = "accepted" // it works with it
	Rejected Uptake = "rejected" // it does not: the credential may have been replaced
)

// Report records what the caller made of a version, for whoever asks later which deployments use it. It is the caller's
// word: nothing is looked up. Where the rejected version is the one this node has cached, the secret is read anew in the
// background, once for all who reject it. It returns the ID of the decision.
func (p *Proxy) Report(ctx context.Context, c *Call, path secret.Path, v secret.Version, u Uptake) (decision string, err error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	t.rec.Action, t.rec.Resource.Path = audit.ActionReport, path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return "", err
	}
	m, err := p.decide(ctx, t, path, v)
	if err != nil {
		return "", err
	}
	key, err := m.key(path, secret.Current)
	if err != nil {
		return "", p.refuse(ctx, t, because(err))
	}
	t.rec.Decision.Reason, t.rec.Result.Status = string(u), 204
	if err := p.record(ctx, t); err != nil {
		return "", err
	}
	if u == Rejected {
		p.cache.Refresh(key, v, m.TTL, m.load)
	}
	return t.rec.ID, nil
}
