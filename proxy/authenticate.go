package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
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
