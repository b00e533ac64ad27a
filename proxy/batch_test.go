package proxy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// batch returns the values, or codes, of the paths.
func (h *harness) batch(t *testing.T, c *proxy.Call, paths ...string) ([]string, error) {
	t.Helper()
	asked := make([]secret.Path, len(paths))
	for i, p := range paths {
		asked[i] = path(t, p)
	}
	items, err := h.ReadBatch(t.Context(), c, asked)
	if err != nil {
		return nil, err
	}
	got := make([]string, len(items))
	for i := range items {
		if items[i].Err != nil {
			got[i] = string(codeOf(t, items[i].Err))
			continue
		}
		got[i] = string(items[i].Answer.Value.Reveal())
		items[i].Answer.Release()
	}
	return got, nil
}

// Every item is decided and recorded by itself, duplicates too, and answered in the order asked.
func TestBatchItemsAreReads(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/* read:none/*")
	paths := []string{"one/KEY", "two/KEY", "one/NOPE", "one/KEY", "none/KEY"}
	got, err := h.batch(t, c, slices.Repeat(paths, 20)...)
	must(t, err)
	want := slices.Repeat([]string{canary, "scope_denied", "not_found", canary, "not_found"}, 20)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, r := range []struct {
		texts []string
		want  int
	}{
		{[]string{`"action":"read"`}, 100},
		{[]string{`"action":"read"`, `"path":"one/KEY"`, `"status":200`, `"value_mac"`, `"effect":"allow"`}, 40},
		{[]string{`"action":"read"`, `"path":"two/KEY"`, `"status":403`, `"effect":"deny"`}, 20},
		{[]string{`"action":"read"`, `"status":404`}, 40},
	} {
		if n := h.records(r.texts...); n != r.want {
			t.Errorf("got %d records with %v, want %d", n, r.texts, r.want)
		}
	}
	if n := h.judge.calls.Load(); n != 80 {
		t.Errorf("the policy was asked %d times, want once for each item within scope", n)
	}
	h.judge.effect.Store(uint32(policy.Deny))
	if got, err := h.batch(t, c, "one/KEY"); err != nil || got[0] != "policy_denied" {
		t.Errorf("got %v %v, want policy_denied although it is cached", got, err)
	}
	if got, err := h.batch(t, c); err != nil || len(got) != 0 {
		t.Errorf("nothing: got %v %v", got, err)
	}
}

// Without all records nothing leaves, not even what was recorded.
func TestBatchNeedsEveryRecord(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	h.sink.Fail(errors.New("disk full"), 0)
	if got, err := h.batch(t, c, "one/KEY", "one/KEY", "two/KEY"); err == nil || codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("got %v %v, want audit_unavailable for the whole", got, err)
	}
}

// I1 for batches: no answer before the last record.
func TestBatchWaitsForItsRecords(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	entered, leave := h.sink.hold()
	answered := make(chan []string, 1)
	go func() {
		got, _ := h.batch(t, c, "one/KEY", "one/KEY")
		answered <- got
	}()
	select {
	case <-entered:
	case got := <-answered:
		t.Fatalf("answered %q before a record was written", got)
	case <-time.After(patience):
		t.Fatal("no record is being written")
	}
	select {
	case got := <-answered:
		t.Errorf("answered %q while records were being written", got)
	default:
	}
	close(leave)
	if got := <-answered; !slices.Equal(got, []string{canary, canary}) {
		t.Errorf("got %q", got)
	}
}

// A token that is refused is refused for the whole, before or in between.
func TestBatchTokenRefused(t *testing.T) {
	h := newHarness(t, nil)
	if _, err := h.batch(t, &proxy.Call{Token: "nonsense"}, "one/KEY", "one/KEY"); codeOf(t, err) != api.TokenInvalid {
		t.Errorf("got %v, want token_invalid", err)
	}
	if n := h.records(`"action":"authenticate"`); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
	c := h.call(t, "read:one/*")
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	appendFact(t, h, state.Revocation, "token_id:"+pr.TokenID)
	h.clock.pass(2*time.Second, 2*time.Second)
	if got, err := h.batch(t, c, "one/KEY", "one/KEY"); err == nil || codeOf(t, err) != api.TokenRevoked {
		t.Errorf("got %v %v, want token_revoked", got, err)
	}
}

// Answers over the bound are refused in order, recorded so, and not held.
func TestBatchIsBounded(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		v := c.Mounts[0].Upstream.(*vault)
		v.secrets["a/MAX"] = strings.Repeat("x", secret.MaxValueBytes)
	})
	got, err := h.batch(t, h.call(t, "read:one/*"), slices.Concat([]string{"one/KEY"}, slices.Repeat([]string{"one/MAX"}, 8), []string{"one/KEY"})...)
	must(t, err)
	for i, v := range got {
		switch {
		case i == 8 && v != "too_large", i != 8 && v == "too_large":
			t.Errorf("item %d of %d: got %.20s", i, len(got), v)
		}
	}
	if n := h.records(`"status":413`, `"code":"too_large"`, `"path":"one/MAX"`); n != 1 {
		t.Errorf("got %d records of the refusal, want 1", n)
	}
	if n := h.records(`"status":413`, `"value_mac"`); n != 0 {
		t.Error("the record of a refusal names a value")
	}
}

// A defect on the way of one item is the caller's panic, not the end of the process.
func TestBatchPanics(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts[0].TTL = cache.TTL{Soft: time.Minute, Hard: time.Minute}
		c.Authorizer = panicky{c.Authorizer}
	})
	defer func() {
		if v := recover(); v != "defect" {
			t.Errorf("recovered %v, want the panic of the item", v)
		}
	}()
	_, err := h.batch(t, h.call(t, "read:one/*"), "one/KEY", "one/KEY")
	t.Errorf("got %v, want a panic", err)
}

// Rules that are replaced while a batch begins decide none of it: one request, one set.
func TestBatchIsDecidedByOneSetOfRules(t *testing.T) {
	var base proxy.Rules
	var replace func()
	h := newHarness(t, func(c *proxy.Config) {
		base = proxy.Rules{Verifier: c.Verifier}
		wall := c.Wall
		c.Wall = func() time.Time { // which is looked at for each item
			if replace != nil {
				replace()
			}
			return wall()
		}
	})
	denies := &judge{}
	denies.effect.Store(uint32(policy.Deny))
	base.Authorizer = denies
	c := h.call(t, "read:**")
	looks := 0
	replace = func() {
		if looks++; looks == 2 {
			if _, err := h.SetRules(base); err != nil {
				t.Error(err)
			}
			replace = nil
		}
	}
	got, err := h.batch(t, c, "one/KEY", "two/KEY", "one/KEY")
	if err != nil || replace != nil || !slices.Equal(got, []string{canary, canary, canary}) {
		t.Errorf("got %v, %v, want three values", got, err)
	}
	if _, code := h.read(t, c, "one/KEY"); code != api.PolicyDenied {
		t.Errorf("the next request: got %q, want the new rules", code)
	}
}
