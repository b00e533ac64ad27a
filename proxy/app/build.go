package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/wasm"
)

// audit opens the log on the one sink that is required.
func (b *builder) audit() (*audit.Log, error) {
	c := b.env.Config.Audit
	text, err := b.env.Resolve(c.Key)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := audit.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Key, err)
	}
	if len(c.Sinks) != 1 || !c.Sinks[0].Required {
		return nil, errors.New("sinks: this version takes exactly one sink, and it must be required")
	}
	sink, err := b.drivers.Sinks[c.Sinks[0].Type](b.env, c.Sinks[0])
	if err != nil {
		return nil, err
	}
	log, err := audit.New(audit.Config{
		Sink: sink, Key: key, Region: b.env.Config.Region, Wall: b.env.Wall, Logger: b.env.Logger,
	})
	if err == nil {
		b.closing(log.Close)
	}
	return log, err
}

// identity builds the verifier of our own tokens and the key set that is published.
func (b *builder) identity() (*identity.Verifier, []byte, error) {
	c := b.env.Config.Identity
	if c.Keys.IsZero() {
		return nil, nil, errors.New("keys: without public keys no token can be verified; name a JWK set")
	}
	text, err := b.env.Resolve(c.Keys)
	if err != nil {
		return nil, nil, err
	}
	keys, err := identity.ParseKeySet(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Keys, err)
	}
	published, err := keys.MarshalJSON()
	if err != nil {
		return nil, nil, err
	}
	v, err := identity.New(identity.Config{
		Issuer: c.Issuer, Audience: c.Audience, Keys: keys, MaxTTL: c.MaxTTL, Wall: b.env.Wall,
	})
	return v, append(published, '\n'), err
}

// policy loads the chain.
func (b *builder) policy(ctx context.Context) (*wasm.Chain, error) {
	c := b.env.Config.Policy
	chain := c.Chain
	if len(chain) == 0 {
		chain = []config.PolicyRef{{Bundle: config.Ref{Scheme: "builtin", Name: "scope"}}}
	}
	modules := make([]wasm.Module, len(chain))
	for i, p := range chain {
		code, err := b.policyCode(p)
		if err != nil {
			return nil, fmt.Errorf("chain[%d]: %w", i, err)
		}
		modules[i] = wasm.Module{Wasm: code, Data: p.Data}
	}
	loaded, err := wasm.New(ctx, wasm.Config{Modules: modules, Isolation: wasm.Isolation(c.Isolation), Logger: b.env.Logger})
	if err == nil {
		b.closing(func() error { return loaded.Close(context.WithoutCancel(ctx)) })
	}
	return loaded, err
}

func (b *builder) policyCode(p config.PolicyRef) ([]byte, error) {
	if p.Bundle.Scheme == "builtin" {
		code, ok := policies.Builtin(p.Bundle.Name)
		if !ok {
			return nil, fmt.Errorf("bundle: there is no builtin policy %q; there are %s", p.Bundle.Name, strings.Join(policies.Names(), ", "))
		}
		return code, nil
	}
	if !p.Unsigned {
		return nil, fmt.Errorf("bundle: %s is not signed; say unsigned: true to take it as it is", filepath.Base(p.Bundle.Name))
	}
	return b.env.Resolve(p.Bundle)
}
