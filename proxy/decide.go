package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// authenticate verifies the token of c, between the limits of its source and of its principal. A failure is recorded under t
// with a prefix of the token's digest.
func (p *Proxy) authenticate(ctx context.Context, c *Call, t *transaction) (*policy.Principal, error) {
	if err := p.limitSource(ctx, c, t); err != nil {
		return nil, err
	}
	if c.Token == "" && c.IAM == nil {
		e := fail(api.Unauthenticated, "send a token: Authorization: Bearer TOKEN")
		t.rec.Action = audit.ActionAuthenticate
		return nil, p.refuse(ctx, t, e)
	}
	if err := p.holdBack(ctx, t); err != nil {
		return nil, err
	}
	if err := p.verify(ctx, t); err != nil {
		return nil, err
	}
	if err := p.limitPrincipal(ctx, t.req.Principal, t); err != nil {
		return nil, err
	}
	return t.req.Principal, nil
}

// verify makes the holder of the call's token the one who asks, or refuses the token.
func (p *Proxy) verify(ctx context.Context, t *transaction) error {
	v, err := p.holder(ctx, t)
	if err != nil {
		return p.unverified(ctx, t, err)
	}
	t.actFor(v)
	return nil
}

// holder says whose token was sent, or who the platform says that has called.
func (p *Proxy) holder(ctx context.Context, t *transaction) (*identity.Verified, error) {
	if t.iam != nil {
		return t.rules.Verifier.VerifyIAM(t.iam)
	}
	if identity.IsProjectToken(t.sent) {
		return p.verifyProjectToken(ctx, t)
	}
	return t.rules.Verifier.Verify(ctx, t.sent)
}

// verifyProjectToken looks the token up among those that the log tells of, by its digest.
func (p *Proxy) verifyProjectToken(ctx context.Context, t *transaction) (*identity.Verified, error) {
	digest, err := identity.ProjectTokenDigest(t.sent)
	if err != nil {
		return nil, err
	}
	if err := p.fresh.check(t.bounded(ctx), Bounded, false); err != nil {
		return nil, err
	}
	known := p.fresh.tokens.Load().byDigest[digest]
	if known == nil {
		return nil, identity.ErrUnknownProjectToken
	}
	now := p.wall() // not when the request came: it may have been frozen since
	v, err := known.Verify(t.sent, now)
	if err == nil {
		p.uses.note(known, now)
	}
	return v, err
}

// unverified refuses the token of t, and counts that against its source.
func (p *Proxy) unverified(ctx context.Context, t *transaction, err error) error {
	t.rec.Action = audit.ActionAuthenticate
	if t.iam != nil {
		return p.unknownCaller(ctx, t, err)
	}
	digest := sha256.Sum256([]byte(t.sent))
	t.rec.Principal = audit.Principal{TokenID: "sha256:" + hex.EncodeToString(digest[:8])}
	e := because(err)
	p.failed(t, e)
	return p.refuse(ctx, t, e)
}

// unknownCaller refuses a caller that the platform names and no rule takes. It is not counted against its source: nothing
// was computed for it, and no token was guessed.
func (p *Proxy) unknownCaller(ctx context.Context, t *transaction, err error) error {
	t.rec.Principal = audit.Principal{TokenID: t.iam.AccessKey}
	e := fail(api.Unauthenticated, "no trust rule takes the IAM identity that called; send a token, or call as a role that a rule names")
	e.Cause = err
	return p.refuse(ctx, t, e)
}

// actFor makes the holder of the token the one who asks.
func (t *transaction) actFor(v *identity.Verified) {
	pr := &v.Principal
	t.token, t.req.Principal = v, pr
	t.rec.Principal = audit.Principal{
		Trust: pr.Trust, Issuer: pr.Issuer, Subject: pr.Subject, TokenID: pr.TokenID, Cnf: pr.Cnf,
	}
}

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

// refuse records that the request ends with e and returns what the caller is told: e, or that the record failed.
func (p *Proxy) refuse(ctx context.Context, t *transaction, e *Error) error {
	t.rec.Result = audit.Result{Status: e.Code.Status(), Code: string(e.Code)}
	id, err := p.recordRefusal(ctx, t)
	if err != nil {
		return err
	}
	e.Decision = id
	p.logCause(ctx, levelRefused, "request refused", e)
	return e
}

// logCause tells the log what the caller is not told. An internal error is not left to the level debug: its message sends
// the caller here.
func (p *Proxy) logCause(ctx context.Context, level slog.Level, message string, e *Error) {
	switch {
	case e.Cause == nil:
		return
	case e.Code == api.Internal:
		level = levelFault
	}
	p.log.LogAttrs(ctx, level, message, attrs("decision", e.Decision, "code", string(e.Code), "error", e.Cause.Error())...)
}

// record appends the record of t and returns only once it is acknowledged.
func (p *Proxy) record(ctx context.Context, t *transaction) error {
	t.rec.Cache.Generation = p.fresh.generation()
	if err := p.audit.Append(ctx, &t.rec); err != nil {
		return p.unrecorded(ctx, t, err)
	}
	p.recorded(ctx)
	return nil
}

// recordRefusal is record for a request that gets nothing, and returns the ID of the record that tells of it. A flood of
// denials from one source is recorded as a count.
func (p *Proxy) recordRefusal(ctx context.Context, t *transaction) (id string, err error) {
	if s := t.rec.Result.Status; s != 401 && s != 403 && s != 429 {
		return t.rec.ID, p.record(ctx, t)
	}
	t.rec.Cache.Generation = p.fresh.generation()
	if id, err = p.audit.Refuse(ctx, &t.rec); err != nil {
		return "", p.unrecorded(ctx, t, err)
	}
	p.recorded(ctx)
	return id, nil
}

func (p *Proxy) unrecorded(ctx context.Context, t *transaction, err error) error {
	e := because(err)
	e.Decision = t.rec.ID
	if p.unheard.Add(1) == 1 { // the others are counted: each caller learns of its own
		p.log.LogAttrs(ctx, levelFault, "audit record not acknowledged, so nothing is released", attrs("decision", t.rec.ID, "error", err.Error())...)
	}
	return e
}

// recorded ends what unrecorded began.
func (p *Proxy) recorded(ctx context.Context) {
	if p.unheard.Load() == 0 {
		return
	}
	if n := p.unheard.Swap(0); n > 0 {
		p.log.LogAttrs(ctx, slog.LevelInfo, "audit records are acknowledged again", slog.Int64("refused", n))
	}
}

// detached is for what must not be left half done when a caller hangs up. A deadline is another matter: whoever set it ends
// the process then, as Lambda does, and nobody would learn what became of it.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout+maxSpare)
	if !bounded {
		return ctx, cancel
	}
	ctx, sooner := context.WithDeadline(ctx, end)
	return ctx, func() { sooner(); cancel() }
}
