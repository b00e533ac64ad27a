package proxy_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// side allows what is labelled with its own name, and must not be asked once it is closed.
type side struct {
	name   string
	closed atomic.Bool
	late   atomic.Int64
}

func (s *side) Authorize(_ context.Context, r *policy.Request) policy.Decision {
	if s.closed.Load() {
		s.late.Add(1)
	}
	d := policy.Decision{Effect: policy.Deny, Rule: "side/" + s.name, Digest: s.Digest()}
	if got, _ := policy.Lookup(r.Labels, "side"); got == s.name {
		d.Effect = policy.Allow
	}
	return d
}

func (s *side) Digest() string { return "sha256:" + s.name }

func (s *side) rules(of proxy.Rules) proxy.Rules {
	of.Authorizer = s
	of.Labels = []proxy.LabelRule{{Match: secret.Everything(), Set: []policy.Pair{{Name: "side", Value: s.name}}}}
	return of
}

// Requests go on while the rules are replaced: none is refused, none is decided by labels of one set and the policy of
// another, and no policy is asked after its set has drained.
func TestRulesAreReplacedUnderLoad(t *testing.T) {
	var base proxy.Rules
	h := newHarness(t, func(c *proxy.Config) {
		base = proxy.Rules{Verifier: c.Verifier}
		r := (&side{name: "0"}).rules(base)
		c.Authorizer, c.Labels = r.Authorizer, r.Labels
	})
	for _, name := range []string{"a/K1", "a/K2", "a/K3"} {
		h.vault.set(name, "x")
	}
	c := h.call(t, "read:** list:**")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answers atomic.Int64
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, code := h.read(t, c, "one/KEY"); code != "" {
					t.Errorf("a read was refused with %s", code)
					return
				}
				answers.Add(1)
			}
		})
	}
	var old []*side
	var closing sync.WaitGroup
	for i := range 300 {
		s := &side{name: string(rune('a' + i%26))}
		old = append(old, s)
		drained, err := h.SetRules(s.rules(base))
		must(t, err)
		if i > 0 {
			before := old[i-1]
			closing.Go(func() { <-drained; before.closed.Store(true) })
		}
	}
	for n := answers.Load(); answers.Load() < n+20 && !t.Failed(); {
		if _, code := h.read(t, c, "two/KEY"); code != "" {
			t.Errorf("a read was refused with %s", code)
		}
	}
	cancel()
	wg.Wait()
	closing.Wait()
	for i, s := range old {
		if n := s.late.Load(); n > 0 {
			t.Errorf("policy %d was asked %d times after its set had drained", i, n)
		}
	}
}

// between runs fn once, when a request is between its labels and its policy.
type between struct {
	state.Store
	fn atomic.Pointer[func()]
}

func (b *between) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	if fn := b.fn.Swap(nil); fn != nil {
		(*fn)()
	}
	return b.Store.Since(ctx, seq)
}

// Rules that are replaced in the middle of a request are for the next one.
func TestRulesAreNotMixed(t *testing.T) {
	var base proxy.Rules
	var b *between
	h := newHarness(t, func(c *proxy.Config) {
		base = proxy.Rules{Verifier: c.Verifier}
		r := (&side{name: "first"}).rules(base)
		c.Authorizer, c.Labels = r.Authorizer, r.Labels
		c.Mounts[0].Freshness = proxy.Strict
		b = &between{Store: c.State}
		c.State = b
	})
	c := h.call(t, "read:**")
	swap := func() {
		_, err := h.SetRules((&side{name: "second"}).rules(base))
		must(t, err)
	}
	b.fn.Store(&swap)
	for _, want := range []string{"first", "second"} {
		if _, code := h.read(t, c, "one/KEY"); code != "" {
			t.Errorf("under the %s rules: got %s", want, code)
		}
		if n := h.records(`"policy_digest":"sha256:` + want + `"`); n != 1 {
			t.Errorf("%d records of the %s rules, want 1", n, want)
		}
	}
}

// A request that began with the old rules ends with them, and they drain only then.
func TestRulesLastAsLongAsTheirRequests(t *testing.T) {
	first, second := &side{name: "first"}, &side{name: "second"}
	var base proxy.Rules
	h := newHarness(t, func(c *proxy.Config) {
		base = proxy.Rules{Verifier: c.Verifier}
		r := first.rules(base)
		c.Authorizer, c.Labels = r.Authorizer, r.Labels
	})
	h.vault.gate = make(chan struct{})
	c := h.call(t, "read:**")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, code := h.read(t, c, "one/KEY"); code != "" {
			t.Errorf("got %s", code)
		}
	}()
	for h.vault.reads.Load() == 0 {
		select {
		case <-done:
			t.Fatal("the read ended before the upstream was asked")
		default:
		}
	}
	drained, err := h.SetRules(second.rules(base))
	must(t, err)
	select {
	case <-drained:
		t.Error("the old rules drained while a request had them")
	default:
	}
	close(h.vault.gate)
	<-done
	<-drained
	if n := h.records(`"policy_digest":"sha256:first"`); n != 1 {
		t.Errorf("%d records of the first policy, want 1", n)
	}
}

func TestSetRulesRefusesHalfARuleSet(t *testing.T) {
	h := newHarness(t, nil)
	for _, r := range []proxy.Rules{{}, {Authorizer: h.judge}, {Authorizer: h.judge, Limits: proxy.Limits{PerSource: -1}}} {
		if _, err := h.SetRules(r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	if _, code := h.read(t, h.call(t, "read:**"), "one/KEY"); code != "" {
		t.Errorf("the old rules are gone: %s", code)
	}
}
