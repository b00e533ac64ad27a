package wasm

import (
	"context"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Rules that no policy decided.
const (
	chainName    = "chain"
	ruleAbstain  = chainName + "/abstain"
	ruleError    = chainName + "/error"
	errorRule    = "error"
	defaultVotes = 1 // of a require_approval that names no number
)

// Authorize asks the policies in order until one denies or fails. Otherwise require_approval beats allow, and allow
// beats abstain; where all abstain the answer is deny. A fault is a denial whose Fault says why. The answer never
// depends on ctx, except that a ctx that ends while the decision waits for an instance, or before a policy starts,
// denies with ErrBusy.
func (c *Chain) Authorize(ctx context.Context, req *policy.Request) policy.Decision {
	d := c.authorize(ctx, req)
	d.Digest = c.digest
	c.stats.add(&d)
	return d
}

func (c *Chain) authorize(ctx context.Context, req *policy.Request) policy.Decision {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return policy.Decision{Rule: ruleError, Fault: ErrClosed}
	}
	out := policy.Decision{Effect: policy.Abstain, Rule: ruleAbstain}
	for _, g := range c.policies {
		v := g.decide(ctx, req)
		switch v.Effect {
		case policy.Deny:
			return v
		case policy.RequireApproval:
			unite(&out, &v)
		case policy.Allow:
			if out.Effect == policy.Abstain {
				out = v
			}
		}
	}
	if out.Effect == policy.Abstain {
		out.Effect = policy.Deny
	}
	return out
}

// unite adds what v requires to out. The rule and reason are those of the first policy that required approval.
func unite(out, v *policy.Decision) {
	if out.Effect != policy.RequireApproval {
		*out = *v
		return
	}
	a, b := &out.Obligations, &v.Obligations
	a.Approvers = slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.Approvers, b.Approvers))))
	a.N = max(a.N, b.N)
	if a.MaxTTL == 0 || b.MaxTTL != 0 && b.MaxTTL < a.MaxTTL {
		a.MaxTTL = b.MaxTTL
	}
}
