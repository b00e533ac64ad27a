package proxy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// What a platform says of an object is an invalidation of every place that shows it, and of no other.
func TestNotice(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.Mounts[1].At = "b" })
	c := h.call(t, "read:**")
	h.read(t, c, "one/KEY")
	h.read(t, c, "two/KEY")
	h.vault.set("a/KEY", "new")
	say := func(upstream string, objects ...string) int {
		t.Helper()
		n, err := h.Changed(t.Context(), &proxy.Call{Surface: "lambda"}, &proxy.Notice{From: "aws.ssm", ID: "event-1", Upstreams: []string{upstream}, Objects: objects})
		must(t, err)
		return n
	}
	before := h.Generation()
	if n := say("v", "elsewhere/KEY", "a/b c") + say("other", "a/KEY"); n != 0 || h.Generation() != before || h.records(`"action":"invalidate"`) != 0 {
		t.Errorf("objects that no mount shows: %d invalidations", n)
	}
	if n := say("v", "a/KEY", "a/KEY"); n != 1 || h.Generation() != before+1 {
		t.Errorf("got %d invalidations, generation %d, want 1 and %d", n, h.Generation(), before+1)
	}
	if n := h.records(`"kind":"intent"`, `"action":"invalidate"`, `"trust":"event"`, `"sub":"aws.ssm"`, `"path":"one/KEY"`); n != 1 {
		t.Errorf("got %d intents, want 1", n)
	}
	if v, code := h.read(t, c, "one/KEY"); v != "new" {
		t.Errorf("got %q %q", v, code)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if len(facts) != 1 || facts[0].Kind != state.Invalidation || facts[0].Subject != "one/KEY" {
		t.Errorf("got facts %+v", facts)
	}
}

// denying denies what is asked about one path.
type denying struct {
	proxy.Authorizer
	path secret.Path
}

func (d denying) Authorize(ctx context.Context, r *policy.Request) policy.Decision {
	if r.Path == d.path {
		return policy.Decision{Effect: policy.Deny, Rule: "test/deny", Digest: d.Digest()}
	}
	return d.Authorizer.Authorize(ctx, r)
}

// One place where a notice may change nothing keeps no other place on the old value. The error remains, since whoever sent
// the notice has to know.
func TestANoticeIsHeardWhereItMayBe(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.Authorizer = denying{c.Authorizer, path(t, "one/KEY")} })
	c := h.call(t, "read:**")
	h.read(t, c, "two/KEY")
	h.vault.set("a/KEY", "new")
	n, err := h.Changed(t.Context(), &proxy.Call{Surface: "lambda"}, &proxy.Notice{From: "aws.ssm", ID: "event-1", Upstreams: []string{"v"}, Objects: []string{"a/KEY"}})
	if n != 1 || codeOf(t, err) != api.PolicyDenied {
		t.Errorf("got %d, %v, want 1 and that the other was denied", n, err)
	}
	if v, code := h.read(t, c, "two/KEY"); v != "new" {
		t.Errorf("got %q %q: what may change did not", v, code)
	}
}

// Nobody who has a token is taken for the platform.
func TestNoRuleHasTheNameOfNotices(t *testing.T) {
	_, err := trust.New([]trust.Rule{{Name: proxy.NoticeTrust}})
	if err == nil || !strings.Contains(err.Error(), `"`+proxy.NoticeTrust+`" is the name of`) {
		t.Errorf("got %v", err)
	}
}
