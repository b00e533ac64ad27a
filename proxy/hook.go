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

// hookRate is how many messages a second one source address may send to hooks, be they good or not. It comes before any
// signature is computed, and it is set whatever the limits are: a hook takes no token, so anybody may try.
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
	wait := p.senders.take(p.senders.source(c.SourceIP), hookRate, p.mono())
	if err := p.limited(ctx, t, wait, "too many messages to hooks from this address; slow down"); err != nil {
		return Invalidated{}, err
	}
	v, err := t.rules.Hooks.Verify(m, t.rec.Time)
	if err != nil {
		digest := sha256.Sum256([]byte(m.Signature))
		t.rec.Action = audit.ActionAuthenticate
		t.rec.Principal = audit.Principal{TokenID: "sha256:" + hex.EncodeToString(digest[:8])}
		return Invalidated{}, p.refuse(ctx, t, unsigned(m, err))
	}
	t.actFor(v)
	if err := p.limitPrincipal(ctx, t.req.Principal, t); err != nil {
		return Invalidated{}, err
	}
	if !p.replays.Take(v, t.rec.Time) {
		t.rec.Action = audit.ActionAuthenticate
		return Invalidated{}, p.refuse(ctx, t, fail(api.TokenInvalid, "this message was taken before; sign each one anew, with the time at which it is sent"))
	}
	done, err := p.invalidate(ctx, t, i)
	if err != nil {
		p.replays.GiveBack(v) // it may have come to nothing: whoever sends it again must be heard
	}
	return done, err
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
