package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Rules are everything that decides requests and can be replaced while they are served. A request is decided by one set
// of them from its beginning to its end.
type Rules struct {
	Verifier   *identity.Verifier // required
	Authorizer Authorizer         // required
	Labels     []LabelRule
	Limits     Limits
	Hooks      *identity.Hooks // nil: there are none

	Signer *identity.Signer // nil: this node only verifies
	MaxTTL time.Duration    // longest life of what Signer signs; 0 means identity.MaxTTL
}

func (r *Rules) check() error {
	switch {
	case r.Verifier == nil || r.Authorizer == nil:
		return errors.New("proxy: verifier and authorizer are required")
	case r.Limits.PerSource < 0 || r.Limits.PerPrincipal < 0 || r.Limits.InFlight < 0:
		return errors.New("proxy: limits must not be negative")
	}
	return nil
}

// ruleSet is one set of rules and the count of who may still ask it.
type ruleSet struct {
	Rules
	users   atomic.Int64  // requests, and one more while the set is the current one; 0 is final
	drained chan struct{} // closed when users has become 0
}

func newRuleSet(r Rules) *ruleSet {
	if r.Hooks == nil {
		r.Hooks = new(identity.Hooks)
	}
	if r.MaxTTL == 0 {
		r.MaxTTL = identity.MaxTTL
	}
	s := &ruleSet{Rules: r, drained: make(chan struct{})}
	s.users.Store(1)
	return s
}

// SetRules replaces the rules at once: requests that have begun end with the old ones, later ones see none of them. What
// only the old rules use may be closed once drained is closed, which is when the last such request has ended. On error
// the old rules stay.
func (p *Proxy) SetRules(r Rules) (drained <-chan struct{}, err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	old := p.rules.Swap(newRuleSet(r))
	old.leave()
	return old.drained, nil
}

// join returns the current rules, which stay usable until leave.
func (p *Proxy) join() *ruleSet {
	for {
		s := p.rules.Load()
		// Between Load and here the set may have been replaced and drained: then there is another.
		for n := s.users.Load(); n > 0; n = s.users.Load() {
			if s.users.CompareAndSwap(n, n+1) {
				return s
			}
		}
	}
}

// under decides t by rules that another transaction holds for as long as t lasts: one request, one set.
func (t *transaction) under(s *ruleSet) {
	t.rules.leave()
	s.users.Add(1)
	t.rules = s
}

func (s *ruleSet) leave() {
	if s.users.Add(-1) == 0 {
		close(s.drained)
	}
}
