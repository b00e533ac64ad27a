package app

import (
	"context"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/wasm"
)

// ruling is what of a configuration can be replaced while requests are served: it is built whole, beside the one in use.
type ruling struct {
	rules  proxy.Rules
	policy *wasm.Chain // closed by whoever has the ruling
	jwks   []byte
}

// ruling reads keys and policies and compiles them. On error nothing is left open.
func (b *builder) ruling(ctx context.Context) (*ruling, error) {
	c := b.env.Config
	verifier, jwks, err := b.identity()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	policy, err := b.policy(ctx)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return &ruling{
		rules: proxy.Rules{
			Verifier: verifier, Authorizer: policy, Labels: labelRules(c.Labels),
			Limits: proxy.Limits{
				PerSource: c.Limits.RequestsPerSecond, PerPrincipal: c.Limits.PerPrincipal, InFlight: c.Limits.MaxInFlight,
			},
		},
		policy: policy, jwks: jwks,
	}, nil
}

// publish shows what of a ruling others than the decision path look at.
func (a *App) publish(r *ruling) {
	a.jwks.Store(&r.jwks)
	a.inFlight.Store(int64(r.rules.Limits.InFlight))
}
