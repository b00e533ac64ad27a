package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/wasm"
)

// ruling is what of a configuration can be replaced while requests are served: it is built whole, beside the one in use.
type ruling struct {
	rules   proxy.Rules
	policy  *wasm.Chain // closed by whoever has the ruling
	keys    *identity.KeySet
	issuers issuers
}

// discard closes a ruling that does not come into force.
func (r *ruling) discard(ctx context.Context, a *App) error {
	return errors.Join(r.policy.Close(context.WithoutCancel(ctx)), r.issuers.closeBut(a.issuers))
}

// ruling reads policies and compiles them, and reads keys. On error nothing is left open.
func (b *builder) ruling(ctx context.Context) (*ruling, error) {
	c := b.env.Config
	policy, err := b.policy(ctx)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	hooks, id, err := b.callers()
	if err != nil {
		return nil, errors.Join(err, policy.Close(context.WithoutCancel(ctx)))
	}
	return &ruling{
		rules: proxy.Rules{
			Verifier: id.verifier, Authorizer: policy, Labels: labelRules(c.Labels), Hooks: hooks,
			Signer: id.signer, MaxTTL: c.Identity.MaxTTL,
			Limits: proxy.Limits{
				PerSource: c.Limits.RequestsPerSecond, PerPrincipal: c.Limits.PerPrincipal, InFlight: c.Limits.MaxInFlight,
			},
		},
		policy: policy, keys: id.keys, issuers: id.issuers,
	}, nil
}

// callers reads what tells who asks.
func (b *builder) callers() (*identity.Hooks, *identified, error) {
	hooks, err := b.hooks()
	if err != nil {
		return nil, nil, err
	}
	id, err := b.identity()
	if err != nil {
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	return hooks, id, nil
}

// publicKeys is the key set as others see it now: without keys that have ended.
func (a *App) publicKeys() []byte {
	text, err := a.jwks.Load().At(a.options.Wall()).MarshalJSON()
	if err != nil { // what was read from JSON can be written as JSON
		a.log.Error("the public keys cannot be written", "error", err.Error())
		return []byte("{}\n")
	}
	return append(text, '\n')
}

// publish shows what of a ruling others than the decision path look at.
func (a *App) publish(r *ruling) {
	a.jwks.Store(r.keys)
	a.inFlight.Store(int64(r.rules.Limits.InFlight))
}
