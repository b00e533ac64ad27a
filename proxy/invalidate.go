package proxy

import (
	"context"
	"fmt"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Invalidation names what may have changed: one path, or with Below that path and every one below it.
type Invalidation struct {
	Path  secret.Path
	Below bool
}

// Invalidated is the answer to an Invalidation. Its facts are in the log, and its outcome record has been acknowledged.
type Invalidated struct {
	Generation uint64 // of this node, which has applied the facts
	Decision   string
}

// Invalidate makes every node read anew what is cached under the path, absences included. Nothing is looked up: the answer
// is the same whether there is such a secret, or anything cached, or even a mount. A scope has to cover everything that
// is meant, and the policy is asked about the path that is named.
func (p *Proxy) Invalidate(ctx context.Context, c *Call, i Invalidation) (Invalidated, error) {
	t := p.begin(c, policy.Invalidate)
	defer p.end(t)
	t.rec.Resource.Path = i.Path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Invalidated{}, err
	}
	return p.invalidate(ctx, t, i)
}

// invalidate is Invalidate for who is known.
func (p *Proxy) invalidate(ctx context.Context, t *transaction, i Invalidation) (Invalidated, error) {
	patterns, err := i.patterns()
	if err != nil {
		return Invalidated{}, p.refuse(ctx, t, fail(api.InvalidPath, "the prefix is too long to have paths below it"))
	}
	if i.Below {
		t.below = patterns[len(patterns)-1]
	}
	if _, err := p.decide(ctx, t, i.Path, secret.Current); err != nil {
		return Invalidated{}, err
	}
	var generation uint64
	done, err := p.pair(ctx, t, func(ctx context.Context) (outcome, error) {
		err := p.fresh.announce(ctx, patterns)
		generation = p.fresh.generation()
		return outcome{status: http.StatusOK}, err
	})
	if err != nil {
		return Invalidated{}, err
	}
	return Invalidated{Generation: generation, Decision: done.intent}, nil
}

// patterns are what i means: the path, then what is below it.
func (i Invalidation) patterns() ([]secret.Pattern, error) {
	all := []secret.Pattern{secret.Exactly(i.Path)}
	if !i.Below {
		return all, nil
	}
	below, err := secret.Below(i.Path)
	return append(all, below), err
}

// scoped reports whether the token's scopes cover all that t acts on: path, and where it acts on what lies below, that.
func (t *transaction) scoped(path secret.Path) bool {
	scopes := t.req.Principal.Scopes
	if !scopes.Allows(t.req.Action, path) {
		return false
	}
	return t.below.IsZero() || len(scopes.Narrow(policy.Scopes{{Action: t.req.Action, Pattern: t.below}})) > 0
}

// forget drops what this node has cached, and what it is about to cache, of what the patterns match. It cannot fail.
func (f *freshness) forget(patterns []secret.Pattern) {
	for _, p := range patterns {
		f.cache.Invalidate(p)
	}
}

// announce tells that what the patterns match may have changed: this node at once, and every node by facts, which are
// durable and applied here when it returns.
func (f *freshness) announce(ctx context.Context, patterns []secret.Pattern) error {
	f.forget(patterns)
	return f.append(ctx, patterns)
}

// append is announce for what this node has forgotten already.
func (f *freshness) append(ctx context.Context, patterns []secret.Pattern) error {
	var facts []state.Fact
	for _, p := range patterns {
		now := f.wall().UTC()
		facts = append(facts, state.Fact{
			ID: audit.NewID(now), Kind: state.Invalidation, Subject: p.String(), At: now, ExpiresAt: now.Add(f.keep),
		})
	}
	return f.tell(ctx, facts...)
}

// tell appends facts, which are durable and applied here when it returns.
func (f *freshness) tell(ctx context.Context, facts ...state.Fact) error {
	for i := range facts {
		if _, err := f.store.Append(ctx, facts[i]); err != nil {
			return fmt.Errorf("writing the state store: %w", err)
		}
	}
	return f.sync(ctx)
}
