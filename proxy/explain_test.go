package proxy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

type panicky struct{ proxy.Authorizer }

func (panicky) Authorize(context.Context, *policy.Request) policy.Decision { panic("defect") }

// An explanation is the decision itself, looks nothing up, and is not a read.
func TestExplain(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	explain := func(p string, a policy.Action) proxy.Explanation {
		t.Helper()
		e, err := h.Explain(t.Context(), c, path(t, p), a)
		must(t, err)
		return e
	}
	for _, x := range []struct {
		path   string
		action policy.Action
		effect policy.Effect // what the policy says
		want   string
		code   api.Code
		rule   string
	}{
		{"one/KEY", policy.Read, policy.Allow, "allow", "", "judge/said"},
		{"one/NOPE", policy.Read, policy.Allow, "allow", "", "judge/said"},
		{"one/KEY", policy.Read, policy.Deny, "deny", api.PolicyDenied, "judge/said"},
		{"one/KEY", policy.Read, policy.RequireApproval, "require_approval", api.ApprovalRequired, "judge/said"},
		{"one/KEY", policy.WriteTo, policy.Allow, "deny", api.ScopeDenied, ""},
		{"two/KEY", policy.Read, policy.Allow, "deny", api.ScopeDenied, ""},
	} {
		h.judge.effect.Store(uint32(x.effect))
		e := explain(x.path, x.action)
		if e.Effect != x.want || e.Code != x.code || e.Rule != x.rule {
			t.Errorf("%s %s: got %+v, want %s %s %s", x.action, x.path, e, x.want, x.code, x.rule)
		}
		if n := h.records(`"id":"`+e.Decision+`"`, `"action":"explain"`, `"effect":"`+x.want+`"`, `"status":200`, `"path":"`+x.path+`"`); n != 1 {
			t.Errorf("%s %s: got %d records, want 1", x.action, x.path, n)
		}
		if r := h.judge.last.Load(); r != nil && r.Action == "explain" {
			t.Error("the policy was asked about explaining, not about the action")
		}
	}
	if n := h.records(`"action":"read"`); n != 0 {
		t.Errorf("%d explanations are recorded as reads", n)
	}
	if s := h.cache.Stats(); h.vault.reads.Load() != 0 || s.Hits+s.Misses != 0 {
		t.Error("an explanation looked something up")
	}
	appendFact(t, h, state.Revocation, "secret:one/KEY")
	h.clock.pass(2*time.Second, 2*time.Second)
	h.judge.effect.Store(uint32(policy.Allow))
	if e := explain("one/KEY", policy.Read); e.Effect != "deny" || e.Code != api.Revoked {
		t.Errorf("a revoked secret: got %+v", e)
	}
	pr, err := h.Whoami(t.Context(), c)
	must(t, err)
	appendFact(t, h, state.Revocation, "token_id:"+pr.TokenID)
	h.clock.pass(2*time.Second, 2*time.Second)
	if _, err := h.Explain(t.Context(), c, path(t, "one/KEY"), policy.Read); codeOf(t, err) != api.TokenRevoked {
		t.Errorf("a revoked token: got %v, want token_revoked", err)
	}
	h.sink.Fail(errors.New("disk full"), 0)
	if _, err := h.Explain(t.Context(), h.call(t, "read:one/*"), path(t, "one/OTHER"), policy.Read); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("got %v, want audit_unavailable", err)
	}
}

// A report is a record with the version and the outcome. Any number of rejections of the cached version cost one read.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		c := h.call(t, "read:one/*")
		report := func(v secret.Version, u proxy.Uptake) {
			t.Helper()
			id, err := h.Report(t.Context(), c, path(t, "one/KEY"), v, u)
			must(t, err)
			if n := h.records(`"id":"`+id+`"`, `"action":"report"`, `"version":"`+string(v)+`"`, `"reason":"`+string(u)+`"`, `"status":204`); n != 1 {
				t.Errorf("got %d records of the report, want 1", n)
			}
		}
		report("1", proxy.Rejected)
		if n := h.vault.reads.Load(); n != 0 {
			t.Errorf("got %d reads of what is not cached, want none", n)
		}
		h.read(t, c, "one/KEY")
		h.clock.pass(10*time.Second, 10*time.Second)
		report("1", proxy.Accepted)
		report("7", proxy.Rejected)
		if n := h.cache.Stats().Loads; n != 1 {
			t.Errorf("got %d reads after reports that change nothing, want 1", n)
		}
		h.vault.gate = make(chan struct{})
		h.vault.set("a/KEY", "rotated")
		for range 10 {
			report("1", proxy.Rejected)
		}
		if n := h.cache.Stats().Loads; n != 2 {
			t.Errorf("got %d reads, want one more for all rejections", n)
		}
		close(h.vault.gate)
		synctest.Wait()
		if v, _ := h.read(t, c, "one/KEY"); v != "rotated" {
			t.Fatal("the rejected value is still served")
		}
		// What was read just now is not read again.
		report("1", proxy.Rejected)
		if n := h.cache.Stats().Loads; n != 2 {
			t.Errorf("got %d reads, want no further one", n)
		}
		if _, err := h.Report(t.Context(), c, path(t, "two/KEY"), "1", proxy.Rejected); codeOf(t, err) != api.ScopeDenied {
			t.Errorf("got %v, want scope_denied", err)
		}
		h.clock.pass(10*time.Second, 10*time.Second)
		h.sink.Fail(errors.New("disk full"), 0)
		if _, err := h.Report(t.Context(), c, path(t, "one/KEY"), "1", proxy.Rejected); codeOf(t, err) != api.AuditUnavailable {
			t.Errorf("got %v, want audit_unavailable", err)
		}
		if n := h.cache.Stats().Loads; n != 2 {
			t.Errorf("got %d reads, want none for a report that was not recorded", n)
		}
	})
}
