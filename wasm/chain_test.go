package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

const (
	deny     = 0
	allow    = 1
	abstain  = 2
	approval = 3
	seven    = 7 << 8
	detailed = 1 << 24
)

func TestChainOfEffects(t *testing.T) {
	rows := []struct {
		words  []uint64
		effect policy.Effect
		rule   string
	}{
		{[]uint64{allow}, policy.Allow, "p0/0"},
		{[]uint64{allow | seven}, policy.Allow, "p0/seven"},
		{[]uint64{allow | 9<<8}, policy.Allow, "p0/9"},
		{[]uint64{allow | 1<<25 | 60<<32}, policy.Allow, "p0/0"}, // cacheable for a minute
		{[]uint64{deny}, policy.Deny, "p0/0"},
		{[]uint64{abstain}, policy.Deny, "chain/abstain"},
		{[]uint64{abstain, abstain}, policy.Deny, "chain/abstain"},
		{[]uint64{abstain, allow | seven, abstain}, policy.Allow, "p1/seven"},
		{[]uint64{allow, allow | seven}, policy.Allow, "p0/0"},
		{[]uint64{allow, deny | seven, allow}, policy.Deny, "p1/seven"},
		{[]uint64{approval, deny}, policy.Deny, "p1/0"},
		{[]uint64{allow, approval | seven, allow}, policy.RequireApproval, "p1/seven"},
		{[]uint64{approval, allow}, policy.RequireApproval, "p0/0"},
		{[]uint64{abstain, approval}, policy.RequireApproval, "p1/0"},
	}
	for _, row := range rows {
		var modules []wasm.Module
		for i, w := range row.words {
			modules = append(modules, word(t, "p"+string(rune('0'+i)), w, ""))
		}
		got := chain(t, modules...).Authorize(t.Context(), request(t))
		if got.Effect != row.effect || got.Rule != row.rule || got.Fault != nil {
			t.Errorf("%x: got %v by %s (fault %v), want %v by %s", row.words, got.Effect, got.Rule, got.Fault, row.effect, row.rule)
		}
	}
}

func TestObligationsAreUnited(t *testing.T) {
	c := chain(t,
		word(t, "a", approval|detailed, `{"reason":"first","obligations":{"approvers":["sre","ada"],"n":1,"max_ttl":900}}`),
		word(t, "b", allow, ""),
		word(t, "c", approval|detailed, `{"reason":"second","rule":"two","obligations":{"approvers":["sre","bob"],"n":3}}`),
		word(t, "d", approval|detailed, `{"obligations":{"n":2,"max_ttl":60}}`),
		word(t, "e", approval, ""))
	got := c.Authorize(t.Context(), request(t))
	want := policy.Decision{
		Effect: policy.RequireApproval, Rule: "a/0", Reason: "first", Digest: c.Digest(),
		Obligations: policy.Obligations{Approvers: []string{"ada", "bob", "sre"}, N: 3, MaxTTL: time.Minute},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestApprovalWithoutDetailNeedsOne(t *testing.T) {
	got := chain(t, word(t, "a", approval, "")).Authorize(t.Context(), request(t))
	if got.Obligations.N != 1 || got.Obligations.Approvers != nil || got.Obligations.MaxTTL != 0 {
		t.Errorf("got %+v", got.Obligations)
	}
}

func TestDetailNamesRuleAndReason(t *testing.T) {
	got := chain(t, word(t, "a", deny|seven|detailed, `{"reason":"not\u001b[31m today\u202e","rule":"late"}`)).Authorize(t.Context(), request(t))
	if got.Rule != "a/late" || got.Reason != "not?[31m today?" {
		t.Errorf("rule %q, reason %q", got.Rule, got.Reason)
	}
}

func TestFaultsInAnswers(t *testing.T) {
	rows := map[string]wasm.Module{
		"an effect beyond the last":     word(t, "p", 4, ""),
		"bit 26":                        word(t, "p", allow|1<<26, ""),
		"bit 31":                        word(t, "p", allow|1<<31, ""),
		"bit 63":                        word(t, "p", allow|1<<63, ""),
		"a detail beyond 16 KiB":        word(t, "p", allow|detailed, `{"reason":"`+strings.Repeat("x", 16<<10)+`"}`),
		"detail of another type":        word(t, "p", allow|detailed, `"text"`),
		"unknown member of a detail":    word(t, "p", allow|detailed, `{"reasons":"x"}`),
		"repeated member":               word(t, "p", allow|detailed, `{"rule":"x","rule":"y"}`),
		"rule called error":             word(t, "p", allow|detailed, `{"rule":"error"}`),
		"rule with a slash":             word(t, "p", allow|detailed, `{"rule":"a/b"}`),
		"obligations without approval":  word(t, "p", allow|detailed, `{"obligations":{"n":2}}`),
		"no votes":                      word(t, "p", approval|detailed, `{"obligations":{"n":0}}`),
		"a fraction of a vote":          word(t, "p", approval|detailed, `{"obligations":{"n":1.5}}`),
		"a negative time to live":       word(t, "p", approval|detailed, `{"obligations":{"max_ttl":-1}}`),
		"an approver that is no string": word(t, "p", approval|detailed, `{"obligations":{"approvers":[1]}}`),
		"an unprintable approver":       word(t, "p", approval|detailed, `{"obligations":{"approvers":["a\n"]}}`),
		"an unknown obligation":         word(t, "p", approval|detailed, `{"obligations":{"m":1}}`),
	}
	for name, module := range rows {
		c := chain(t, module)
		got := c.Authorize(t.Context(), request(t))
		if got.Effect != policy.Deny || got.Rule != "p/error" || !errors.Is(got.Fault, wasm.ErrOutput) {
			t.Errorf("%s: got %v by %s, fault %v", name, got.Effect, got.Rule, got.Fault)
		}
		if s := c.Stats(); s.Faults != 1 || s.Denied != 1 {
			t.Errorf("%s: stats %+v", name, s)
		}
	}
}

// What comes after a denial does not run: its faults and its logs cannot matter.
func TestDenialEndsTheChain(t *testing.T) {
	c := chain(t, word(t, "first", deny, ""), withManifest(hostile(t, "trap"), "second"))
	if got := c.Authorize(t.Context(), request(t)); got.Rule != "first/0" || got.Fault != nil {
		t.Errorf("got %+v", got)
	}
}

// A fault anywhere denies, whatever the others say.
func TestFaultBeatsAllows(t *testing.T) {
	c := chain(t, word(t, "first", allow, ""), withManifest(hostile(t, "trap"), "second"), word(t, "third", allow, ""))
	got := c.Authorize(t.Context(), request(t))
	if got.Effect != policy.Deny || got.Rule != "second/error" || !errors.Is(got.Fault, wasm.ErrTrap) {
		t.Errorf("got %+v", got)
	}
}

func TestStats(t *testing.T) {
	c := chain(t, guest(t, "flat_prefix"))
	r := request(t)
	c.Authorize(t.Context(), r)
	r.Path = path(t, "other/x")
	c.Authorize(t.Context(), r)
	c.Authorize(t.Context(), r)
	if got, want := c.Stats(), (wasm.Stats{Allowed: 1, Denied: 2, Compiled: 1}); got != want || got.Decisions() != 3 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDigestCoversModulesDataAndOrder(t *testing.T) {
	a, b := word(t, "a", allow, ""), word(t, "b", allow, "")
	other := a
	other.Data = []byte("[2,null]")
	renamed := a
	renamed.Name = "renamed"
	seen := map[string]string{}
	for name, modules := range map[string][]wasm.Module{
		"a": {a}, "b": {b}, "a b": {a, b}, "b a": {b, a}, "other data": {other},
	} {
		d := chain(t, modules...).Digest()
		if !strings.HasPrefix(d, "sha256:") || len(d) != len("sha256:")+64 {
			t.Errorf("%s: digest %q", name, d)
		}
		if seen[d] != "" {
			t.Errorf("%s and %s have one digest", name, seen[d])
		}
		seen[d] = name
	}
	if chain(t, renamed).Digest() != chain(t, a).Digest() {
		t.Error("a name changed the digest of what is decided")
	}
	c := chain(t, a)
	if got := c.Authorize(t.Context(), request(t)).Digest; got != c.Digest() {
		t.Errorf("decision says %q, chain %q", got, c.Digest())
	}
}

func TestNameOverride(t *testing.T) {
	m := word(t, "a", allow, "")
	m.Name = "mine"
	if got := chain(t, m).Authorize(t.Context(), request(t)).Rule; got != "mine/0" {
		t.Errorf("rule %q", got)
	}
}

// A caller who hangs up is no fault of the policy: only waiting for an instance ends with the context.
func TestEndedContextDecidesAllTheSame(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := chain(t, word(t, "a", allow, "")).Authorize(ctx, request(t))
	if got.Effect != policy.Allow || got.Fault != nil {
		t.Errorf("got %+v", got)
	}
}

func TestNoPrincipalDenies(t *testing.T) {
	r := request(t)
	r.Principal = nil
	if got := chain(t, word(t, "a", allow, "")).Authorize(t.Context(), r); got.Effect != policy.Deny || got.Fault == nil {
		t.Errorf("got %+v", got)
	}
}

func TestClosedChainDenies(t *testing.T) {
	c := chain(t, word(t, "a", allow, ""))
	for range 2 {
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := c.Authorize(t.Context(), request(t))
	if got.Effect != policy.Deny || !errors.Is(got.Fault, wasm.ErrClosed) || got.Digest != c.Digest() {
		t.Errorf("got %+v", got)
	}
}
