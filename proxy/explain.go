package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Explanation is the decision that an action on a path would get now.
type Explanation struct {
	Effect   string   // allow | deny | require_approval
	Code     api.Code // what the refusal would be, "" for allow
	Rule     string   // NAME/RULE, where a policy decided
	Reason   string
	Digest   string // of the policies, where they were asked
	Decision string // ID of the explanation's own record
}

// Explain decides as the action would be decided and tells the caller why. Nothing is looked up, so the answer is the
// same whether the secret exists or not, and tells no more than trying would. Its record is that of an explanation, never
// of a read.
func (p *Proxy) Explain(ctx context.Context, c *Call, path secret.Path, action policy.Action) (Explanation, error) {
	t := p.begin(c, action)
	defer p.end(t)
	t.rec.Action, t.rec.Resource.Path = audit.ActionExplain, path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Explanation{}, err
	}
	_, e := p.judge(ctx, t, path, secret.Current)
	d := &t.rec.Decision
	out := Explanation{Effect: d.Effect, Rule: d.Rule, Reason: d.Reason, Digest: d.PolicyDigest, Decision: t.rec.ID}
	if e != nil {
		if e.Code.Status() != 403 {
			// There was no decision: the token is refused, or the state cannot be read.
			return Explanation{}, p.refuse(ctx, t, e)
		}
		out.Code = e.Code
		if out.Reason == "" {
			out.Reason = e.Message
		}
	}
	t.rec.Result.Status = 200
	if err := p.record(ctx, t); err != nil {
		return Explanation{}, err
	}
	return out, nil
}
