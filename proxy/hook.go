package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// hookRate is how many messages a second one hook may send, and for how many that are not good one source address gets an
// answer that says why. It is set whatever the limits are: a hook takes no token, so anybody may try. Who tries does not
// use up what a hook may send, from whichever address it does.
const hookRate = 10

// HookMessage is what arrived at a hook: nothing of it is to be believed.
type HookMessage = identity.HookMessage

// Hook is Invalidate for who signs a message with the key of a hook instead of having a token. i is what the body of m
// says. The hook is the principal: trust rule "hook", and the hook's name as subject. A message is taken once; one that
// ends with an error may be sent again as it is.
func (p *Proxy) Hook(ctx context.Context, c *Call, m *HookMessage, i Invalidation) (Invalidated, error) {
	t := p.begin(c, policy.Invalidate)
	defer p.end(t)
	t.rec.Resource.Path = i.Path.String()
	if err := p.limitSource(ctx, c, t); err != nil {
		return Invalidated{}, err
	}
	v, err := t.rules.Hooks.Verify(m, t.rec.Time)
	if err != nil {
		digest := sha256.Sum256([]byte(m.Signature))
		t.rec.Principal = audit.Principal{TokenID: "sha256:" + hex.EncodeToString(digest[:8])}
		return Invalidated{}, p.turnAway(ctx, c, t, unsigned(m, err))
	}
	t.actFor(v)
	if !p.replays.Take(v.Principal.TokenID, v.Principal.Expires, t.rec.Time) {
		return Invalidated{}, p.turnAway(ctx, c, t, fail(api.TokenInvalid, "this message was taken before; sign each one anew, with the time at which it is sent"))
	}
	done, err := p.signed(ctx, t, i)
	if err != nil {
		p.replays.GiveBack(v.Principal.TokenID) // it may have come to nothing: whoever sends it again must be heard
	}
	return done, err
}

// signed is Invalidate for a hook.
func (p *Proxy) signed(ctx context.Context, t *transaction, i Invalidation) (Invalidated, error) {
	pr := t.req.Principal
	wait := p.senders.take(p.senders.principal(pr.Trust, pr.Issuer, pr.Subject), hookRate, p.mono())
	if err := p.limited(ctx, t, wait, "too many messages to this hook; slow down"); err != nil {
		return Invalidated{}, err
	}
	if err := p.limitPrincipal(ctx, pr, t); err != nil {
		return Invalidated{}, err
	}
	return p.invalidate(ctx, t, i)
}

// turnAway refuses a message that is not good.
func (p *Proxy) turnAway(ctx context.Context, c *Call, t *transaction, e *Error) error {
	t.rec.Action = audit.ActionAuthenticate
	wait := p.senders.take(p.senders.source(c.SourceIP), hookRate, p.mono())
	if err := p.limited(ctx, t, wait, "too many messages to hooks from this address that are not good; slow down"); err != nil {
		return err
	}
	return p.refuse(ctx, t, e)
}

// unsigned is the answer to a message that does not verify. It does not tell whether there is such a hook.
func unsigned(m *HookMessage, err error) *Error {
	e := fail(api.TokenInvalid, "there is no such hook, or the signature is not that of one of its keys over TIMESTAMP.BODY")
	switch {
	case m.Signature == "" || m.Timestamp == "":
		e = fail(api.Unauthenticated, "sign the message: X-Keyhole-Timestamp and X-Keyhole-Signature")
	case errors.Is(err, identity.ErrExpired):
		e = fail(api.TokenExpired, "the time of the message is too far from now; sign it anew")
	}
	e.Cause = err
	return e
}
