package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

const patience = time.Minute

// I1: no value leaves before its record is acknowledged.
func TestI1ValueWaitsForItsRecord(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	entered, leave := h.sink.hold()
	answered := make(chan string, 1)
	go func() {
		v, code := h.read(t, c, "one/KEY")
		answered <- v + string(code)
	}()
	select {
	case <-entered:
	case got := <-answered:
		t.Fatalf("answered %q before the record was written", got)
	case <-time.After(patience):
		t.Fatal("no record is being written")
	}
	select {
	case got := <-answered:
		t.Errorf("answered %q while the record was being written", got)
	default:
	}
	close(leave)
	if got := <-answered; got != canary {
		t.Errorf("got %q, want the value", got)
	}
	if n := h.records(`"action":"read"`, `"status":200`, `"path":"one/KEY"`); n != 1 {
		t.Errorf("got %d records of the read, want 1", n)
	}
}

// I1: without a record there is no value, no denial that says more, and no change.
func TestI1NothingWithoutARecord(t *testing.T) {
	h := newHarness(t, nil)
	reader, writer := h.call(t, "read:one/*"), h.call(t, "write:one/*")
	h.sink.Fail(errors.New("disk full"), 0)
	if v, code := h.read(t, reader, "one/KEY"); v != "" || code != api.AuditUnavailable {
		t.Errorf("read: got %q %q, want no value and audit_unavailable", v, code)
	}
	if _, code := h.read(t, reader, "two/KEY"); code != api.AuditUnavailable {
		t.Errorf("denied read: got %q, want audit_unavailable", code)
	}
	if err := h.Ready(); err == nil {
		t.Error("ready without a sink that takes records")
	}
	w := secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte("new"))}}
	if _, err := h.Write(t.Context(), writer, path(t, "one/KEY"), w); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("write: got %v, want audit_unavailable", err)
	}
	if got := h.vault.secrets["a/KEY"]; got != canary {
		t.Errorf("the vault holds %q although the intent was not recorded", got)
	}
}

// I1: a change whose outcome cannot be recorded is answered with 503 and stays open in the log.
func TestI1OutcomeThatCannotBeRecorded(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "write:one/*")
	entered, leave := h.sink.hold()
	result := make(chan error, 1)
	go func() {
		w := secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte("new"))}}
		_, err := h.Write(t.Context(), c, path(t, "one/KEY"), w)
		result <- err
	}()
	<-entered
	leave <- struct{}{} // the intent
	<-entered
	h.sink.Fail(errors.New("disk full"), 0)
	close(leave) // the outcome
	err := <-result
	var e *proxy.Error
	if !errors.As(err, &e) || e.Code != api.AuditUnavailable || e.Decision == "" || e.RetryAfter != time.Second {
		t.Fatalf("got %v, want audit_unavailable with the decision and when to come again", err)
	}
	report, err := audit.Verify(h.sink.Sources(), audit.VerifyOptions{PublicKey: publicKey(h)})
	if err != nil || len(report.OpenIntents) != 1 || report.OpenIntents[0].ID != e.Decision {
		t.Errorf("got open intents %v (%v), want %s", report.OpenIntents, err, e.Decision)
	}
}

// I2: two mounts on one upstream path never share an entry.
func TestI2MountsShareNothing(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:**")
	for _, p := range []string{"one/KEY", "two/KEY", "one/KEY", "two/KEY"} {
		if v, code := h.read(t, c, p); v != canary {
			t.Fatalf("%s: got %q", p, code)
		}
	}
	if got := h.vault.reads.Load(); got != 2 {
		t.Errorf("got %d upstream reads, want one for each mount", got)
	}
}

// I3: no value is served past its bound, whichever clock ran.
func TestI3NothingPastItsBound(t *testing.T) {
	for name, pass := range map[string]func(*clock){
		"time passes": func(c *clock) { c.pass(6*time.Minute, 6*time.Minute) },
		"thaw":        func(c *clock) { c.pass(6*time.Minute, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			c := h.call(t, "read:one/*")
			h.read(t, c, "one/KEY")
			h.vault.set("a/KEY", "rotated")
			if v, _ := h.read(t, c, "one/KEY"); v != canary {
				t.Fatalf("before the bound: got %q, want the cached value", v)
			}
			pass(h.clock)
			if v, code := h.read(t, c, "one/KEY"); v != "rotated" {
				t.Errorf("past the bound: got %q %q, want the new value", v, code)
			}
			h.clock.pass(6*time.Minute, 6*time.Minute)
			h.vault.fail = secret.ErrUnavailable
			if v, code := h.read(t, c, "one/KEY"); v != "" || code != api.UpstreamError {
				t.Errorf("past the bound without an upstream: got %q %q, want upstream_error", v, code)
			}
		})
	}
}

// I3: an invalidation that another node appended is applied within the check interval; after a thaw, before anything.
func TestI3InvalidationsOfOthers(t *testing.T) {
	for name, pass := range map[string]func(*clock){
		"check interval": func(c *clock) { c.pass(time.Second, time.Second) },
		"thaw":           func(c *clock) { c.pass(1500*time.Millisecond, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			c := h.call(t, "read:one/*")
			h.read(t, c, "one/KEY")
			h.vault.set("a/KEY", "rotated")
			appendFact(t, h, state.Invalidation, "one/**")
			pass(h.clock)
			if v, _ := h.read(t, c, "one/KEY"); v != "rotated" {
				t.Errorf("got %q, want the new value", v)
			}
			if got := h.Generation(); got != 1 {
				t.Errorf("generation: got %d, want 1", got)
			}
		})
	}
}

// I3: a node that cannot read the state serves for max_blind, and not restricted secrets at all.
func TestI3BlindNodeStops(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		p, err := secret.ParseConfigPattern("**/RESTRICTED_*")
		must(t, err)
		c.Labels = []proxy.LabelRule{{Match: p, Set: []policy.Pair{{Name: "classification", Value: "restricted"}}}}
	})
	h.vault.set("a/RESTRICTED_KEY", canary)
	c := h.call(t, "read:one/*")
	h.read(t, c, "one/KEY")
	h.read(t, c, "one/RESTRICTED_KEY")
	h.store.fail.Store(true)
	h.clock.pass(2*time.Second, 2*time.Second)
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("within max_blind: got %q", code)
	}
	if _, code := h.read(t, c, "one/RESTRICTED_KEY"); code != api.StateUnavailable {
		t.Errorf("restricted: got %q, want state_unavailable", code)
	}
	h.clock.pass(30*time.Second, 30*time.Second)
	if _, code := h.read(t, c, "one/KEY"); code != api.StateUnavailable {
		t.Errorf("past max_blind: got %q, want state_unavailable", code)
	}
	if err := h.Ready(); err == nil {
		t.Error("ready while blind")
	}
	h.store.fail.Store(false)
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("healed: got %q", code)
	}
}

// I4: whatever is revoked is refused, cached or not, and a lifted revocation is forgotten.
func TestI4Revoked(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*", func(c *identity.Claims) {
		c.TokenID, c.Parents, c.OriginTokenID = "child", []string{"parent"}, "origin"
	})
	for subject, want := range map[string]api.Code{
		"token_id:child":               api.TokenRevoked,
		"token_id:parent":              api.TokenRevoked,
		"token_id:origin":              api.TokenRevoked,
		"key_id:" + h.signer.KeyID():   api.TokenRevoked,
		"subject:app":                  api.Revoked,
		"trust:local":                  api.Revoked,
		"secret:one/K*":                api.Revoked,
		"secret:no/pattern/**/at/all*": api.Revoked,
	} {
		if v, code := h.read(t, c, "one/KEY"); v != canary {
			t.Fatalf("before revoking %s: got %q", subject, code)
		}
		id := appendFact(t, h, state.Revocation, subject)
		h.clock.pass(time.Second, time.Second)
		if v, code := h.read(t, c, "one/KEY"); v != "" || code != want {
			t.Errorf("%s: got %q %q, want %q", subject, v, code, want)
		}
		appendFact(t, h, state.Lift, id)
		h.clock.pass(time.Second, time.Second)
	}
	appendFact(t, h, state.Revocation, "subject:somebody-else")
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("another subject's revocation: got %q", code)
	}
}

// I5: many misses at once cost one upstream read.
func TestI5MissesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.vault.gate = make(chan struct{})
		c := h.call(t, "read:one/*")
		var wg sync.WaitGroup
		got := make(chan string, 1000)
		for range cap(got) {
			wg.Go(func() {
				v, code := h.read(t, c, "one/KEY")
				got <- v + string(code)
			})
		}
		synctest.Wait() // every caller has passed the policy; only the upstream is left to wait for
		close(h.vault.gate)
		wg.Wait()
		close(got)
		for v := range got {
			if v != canary {
				t.Fatalf("got %q, want the value", v)
			}
		}
		if n := h.vault.reads.Load(); n != 1 {
			t.Errorf("got %d upstream reads, want 1", n)
		}
		if n := h.records(`"action":"read"`, `"status":200`); n != cap(got) {
			t.Errorf("got %d records, want %d", n, cap(got))
		}
	})
}

// I6: the policy runs on every request, cache hits included, and everything but allow is a refusal.
func TestI6PolicyOnEveryRequest(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	for range 3 {
		h.read(t, c, "one/KEY")
	}
	if got := h.judge.calls.Load(); got != 3 {
		t.Errorf("got %d decisions, want 3", got)
	}
	for effect, want := range map[policy.Effect]api.Code{
		policy.Deny: api.PolicyDenied, policy.Abstain: api.PolicyDenied, policy.RequireApproval: api.ApprovalRequired, 77: api.PolicyDenied,
	} {
		h.judge.effect.Store(uint32(effect))
		if v, code := h.read(t, c, "one/KEY"); v != "" || code != want {
			t.Errorf("%v: got %q %q, want %q", effect, v, code, want)
		}
	}
}

// I7: what callers ask for does not grow the cache past its bound.
func TestI7CacheIsBounded(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	for i := range 100 {
		name := fmt.Sprintf("K%d", i)
		h.vault.set("a/"+name, canary)
		h.read(t, c, "one/"+name)
		h.read(t, c, "one/MISSING"+name)
	}
	if got := h.cache.Stats().Entries; got > 10 {
		t.Errorf("got %d entries, want at most 10", got)
	}
}

// I8: no value is in a record or an error, whatever fails.
func TestI8NoValueInRecordsOrErrors(t *testing.T) {
	h := newHarness(t, nil)
	reader, writer := h.call(t, "read:one/*"), h.call(t, "write:one/*")
	h.read(t, reader, "one/KEY")
	h.vault.fail = fmt.Errorf("%w: upstream said %s", secret.ErrUnavailable, canary)
	h.clock.pass(time.Hour, time.Hour-time.Second)
	w := secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte(canary))}}
	_, err := h.Write(t.Context(), writer, path(t, "one/KEY"), w)
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("got error %v, want one without what the upstream said", err)
	}
	if strings.Contains(h.sink.Text(), canary) {
		t.Error("a record holds a value")
	}
}

// I9: who is denied causes no look-up, and gets the same answer whether the secret exists, is missing, or has no mount.
func TestI9DecisionBeforeExistence(t *testing.T) {
	h := newHarness(t, nil)
	outside := h.call(t, "read:elsewhere/*")
	inside := h.call(t, "read:**")
	h.judge.effect.Store(uint32(policy.Deny))
	for _, c := range []*proxy.Call{outside, inside} {
		var first proxy.Error
		for i, p := range []string{"one/KEY", "one/MISSING", "no/mount"} {
			_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, p)})
			var e *proxy.Error
			if !errors.As(err, &e) {
				t.Fatalf("%s: got %v", p, err)
			}
			e.Decision = ""
			if i == 0 {
				first = *e
			}
			if *e != first {
				t.Errorf("%s: got %+v, want what an existing secret gives: %+v", p, *e, first)
			}
		}
	}
	if n := h.vault.reads.Load(); n != 0 {
		t.Errorf("got %d upstream reads for denied requests, want none", n)
	}
	if s := h.cache.Stats(); s.Hits+s.Misses != 0 {
		t.Errorf("the cache was asked %d times for denied requests, want none", s.Hits+s.Misses)
	}
}

func appendFact(t *testing.T, h *harness, kind state.Kind, subject string) (id string) {
	t.Helper()
	id = audit.NewID(h.clock.Wall())
	_, err := h.store.Append(t.Context(), state.Fact{ID: id, Kind: kind, Subject: subject, At: h.clock.Wall()})
	must(t, err)
	return id
}
