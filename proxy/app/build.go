package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/wasm"
)

// audit opens the log on the one sink that is required.
func (b *builder) audit() (*audit.Log, error) {
	c := b.env.Config.Audit
	seed, err := b.auditSeed(c.Key)
	if err != nil {
		return nil, err
	}
	derived, err := hkdf.Key(sha256.New, seed, nil, "keyhole list cursor v1", len(b.cursorKey))
	if err != nil {
		return nil, err
	}
	copy(b.cursorKey[:], derived)
	if len(c.Sinks) != 1 || !c.Sinks[0].Required {
		return nil, errors.New("sinks: this version takes exactly one sink, and it must be required")
	}
	sink, err := b.drivers.Sinks[c.Sinks[0].Type](b.env, c.Sinks[0])
	if err != nil {
		return nil, err
	}
	log, err := audit.New(audit.Config{
		Sink: sink, Seed: seed, ShowKey: c.Key.IsZero(), Region: b.env.Config.Region, Wall: b.env.Wall, Logger: b.env.Logger,
	})
	if err == nil {
		b.closing(log.Close)
	}
	return log, err
}

// auditSeed is the configured key, or one for this process where there is none.
func (b *builder) auditSeed(ref config.Ref) ([]byte, error) {
	if ref.IsZero() {
		return audit.GenerateSeed(), nil
	}
	text, err := b.env.Resolve(ref)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	seed, err := audit.ParseSeed(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return seed, nil
}

// identified is what says who asks.
type identified struct {
	verifier *identity.Verifier
	signer   *identity.Signer // nil where this node only verifies
	keys     *identity.KeySet // ours, as they are published
	issuers  issuers          // closed by whoever has it, but for what the app has as well
}

// identity builds the verifier of our own tokens and of those that trust rules take. On error nothing new is left open.
func (b *builder) identity() (*identified, error) {
	c := b.env.Config.Identity
	keys, err := b.ownKeys()
	if err != nil {
		return nil, err
	}
	signer, err := b.signer(keys)
	if err != nil {
		return nil, err
	}
	set, err := c.TrustSet()
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	for i := range set.Len() {
		if r := set.Rule(i); r.SharedAudience {
			b.env.Logger.Warn("a trust rule takes tokens that were made for every service of its platform's customer; ask the platform for tokens of our own audience", "rule", r.Name)
		}
	}
	from, err := b.issuers(set)
	if err != nil {
		return nil, err
	}
	beside, err := b.workload()
	var v *identity.Verifier
	if err == nil {
		v, err = identity.New(identity.Config{
			Issuer: c.Issuer, Audience: c.Audience, Keys: keys, MaxTTL: c.MaxTTL, Wall: b.env.Wall, Trust: set, Sources: from.sources(),
			Workload: beside,
		})
	}
	if err != nil {
		return nil, errors.Join(err, from.closeBut(b.app.issuers))
	}
	if keys == nil {
		keys, _ = identity.NewKeySet()
	}
	return &identified{v, signer, keys, from}, nil
}

// ownKeys reads the keys of our own tokens, nil where this node takes those of platforms alone.
func (b *builder) ownKeys() (*identity.KeySet, error) {
	c := b.env.Config.Identity
	if c.Keys.IsZero() {
		if (len(c.Trust) > 0 || b.options.Beside.known()) && c.SigningKey.IsZero() {
			return nil, nil
		}
		return nil, errors.New("keys: without public keys no token of our own can be verified; name a JWK set")
	}
	text, err := b.env.Resolve(c.Keys)
	if err != nil {
		return nil, err
	}
	keys, err := identity.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Keys, err)
	}
	return keys, nil
}

// signer is what signs our tokens, nil where this node only verifies. It makes sure, later where that is allowed, that what
// this node signs, this node verifies: a signing key that was replaced without its public half would make tokens that
// nobody takes.
func (b *builder) signer(keys *identity.KeySet) (*identity.Signer, error) {
	c := b.env.Config.Identity
	if c.SigningKey.IsZero() {
		return nil, nil
	}
	text, err := b.env.Resolve(c.SigningKey)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	seed, err := identity.ParseSigningSeed(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.SigningKey, err)
	}
	defer clear(seed)
	s, err := identity.SignerOf(seed, c.Issuer, c.Audience)
	if err != nil {
		return nil, err
	}
	return s, b.check(func() error {
		if !slices.Contains(keys.At(b.env.Wall()).KeyIDs(), s.KeyID()) {
			return fmt.Errorf("signing_key: its public half is not in keys (%s), so its tokens would be refused; restore the key or add the public half", c.Keys)
		}
		return nil
	})
}

// policy loads the chain. The caller closes it.
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
	native := b.drivers.Native
	if native == nil {
		native = policies.Native{}
	}
	return wasm.New(ctx, wasm.Config{
		Modules: modules, Isolation: wasm.Isolation(c.Isolation), Native: native, Logger: b.env.Logger,
	})
}

func (b *builder) policyCode(p config.PolicyRef) ([]byte, error) {
	if p.Bundle.Scheme == "builtin" {
		code, _ := policies.Builtin(p.Bundle.Name)
		return code, nil
	}
	if !p.Unsigned {
		return nil, fmt.Errorf("bundle: %s is not signed; say unsigned: true to take it as it is", filepath.Base(p.Bundle.Name))
	}
	return b.env.Resolve(p.Bundle)
}
