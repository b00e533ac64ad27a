package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// restrictedClass is the classification whose values are never served on old knowledge.
const restrictedClass = "restricted"

// current makes sure that no fact is missing, and holds the principal and the path against the revocations. A refusal is
// recorded.
func (p *Proxy) current(ctx context.Context, t *transaction, mode Freshness, restricted bool) error {
	if e := p.standing(ctx, t, mode, restricted); e != nil {
		return p.refuse(ctx, t, e)
	}
	return nil
}

// standing is current without the record.
func (p *Proxy) standing(ctx context.Context, t *transaction, mode Freshness, restricted bool) *Error {
	if err := p.fresh.check(t.bounded(ctx), mode, restricted); err != nil {
		return because(err)
	}
	for _, o := range p.outbox {
		o.catchUp(ctx)
	}
	e := p.fresh.revoked.Load().check(t.token, t.given(), t.rec.Time)
	if e != nil {
		t.rec.Decision.Effect = policy.Deny.String()
	}
	return e
}

// given is the path that t gives something of away, zero where it does not. A secret that is revoked is not given out, but
// it can be rotated, which is what should come next.
func (t *transaction) given() secret.Path {
	if a := t.req.Action; a != policy.Read && a != policy.List {
		return secret.Path{}
	}
	return t.req.Path
}

// decide is judge for what is going to be done: a refusal is recorded.
func (p *Proxy) decide(ctx context.Context, t *transaction, path secret.Path, v secret.Version) (*mount, error) {
	m, e := p.judge(ctx, t, path, v)
	if e != nil {
		return nil, p.refuse(ctx, t, e)
	}
	return m, nil
}

// judge holds the action of t on path against revocations and the token's scopes, then asks the policy. It looks nothing up: not the
// upstream, not the cache. The mount of the path is returned, nil where there is none.
func (p *Proxy) judge(ctx context.Context, t *transaction, path secret.Path, v secret.Version) (*mount, *Error) {
	m := p.about(t, path)
	if v != secret.Current {
		t.req.Version = v
		t.rec.Resource.Version = string(v)
	}

	mode := Bounded
	if m != nil {
		mode = m.Freshness
	}
	if e := p.standing(ctx, t, mode, t.restricted()); e != nil {
		return nil, e
	}
	t.turn = p.fresh.turn.Load()
	if !t.scoped(path) {
		t.rec.Decision.Effect = policy.Deny.String()
		return nil, fail(api.ScopeDenied, "no scope of the token covers this action on this path")
	}
	return m, p.verdict(ctx, t)
}

// about makes path what t is about, in the request that the policy sees and in the record.
func (p *Proxy) about(t *transaction, path secret.Path) *mount {
	m := p.mounts.find(path)
	t.rec.Resource.Path = path.String()
	if !t.below.IsZero() {
		t.rec.Resource.Path = t.below.String()
	}
	if m != nil {
		t.req.Mount, t.rec.Resource.Mount = m.Path.String(), m.Path.String()
	}
	t.req.Path = path
	t.req.Labels = t.rules.labels(m, path)
	t.rec.Resource.Classification, _ = policy.Lookup(t.req.Labels, "classification")
	return m
}

// verdict is the policy's answer, nil where it allows.
func (p *Proxy) verdict(ctx context.Context, t *transaction) *Error {
	d := p.ask(ctx, t)
	if errors.Is(d.Fault, policy.ErrUnavailable) {
		e := fail(api.PolicyUnavailable, "the policy cannot be asked now")
		e.RetryAfter = time.Second
		return e
	}
	switch d.Effect {
	case policy.Allow:
		return nil
	case policy.RequireApproval:
		// Fail closed: without a granted approval the answer is no.
		e := fail(api.ApprovalRequired, reasoned("the policy asks for an approval of this request", d.Reason))
		e.Rule = d.Rule
		return e
	}
	e := fail(api.PolicyDenied, reasoned("the policy denies this request", d.Reason))
	e.Rule = d.Rule
	return e
}

// reasoned adds what the policy says about its answer, which is written for the caller.
func reasoned(message, reason string) string {
	if reason == "" {
		return message
	}
	return message + ": " + reason
}

// ask runs the policy on t.req and puts its answer into the record.
func (p *Proxy) ask(ctx context.Context, t *transaction) policy.Decision {
	start := p.mono()
	d := t.rules.Authorizer.Authorize(ctx, &t.req)
	if d.Fault != nil {
		p.log.LogAttrs(ctx, levelFault, "policy failed, so it denies", attrs("decision", t.rec.ID, "rule", d.Rule, "error", d.Fault.Error())...)
	}
	t.rec.Decision = audit.Decision{
		Effect: d.Effect.String(), Rule: d.Rule, Reason: d.Reason, PolicyDigest: d.Digest, Duration: p.mono() - start,
	}
	return d
}
