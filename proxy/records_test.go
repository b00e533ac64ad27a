package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// chained are the members that stand for the place of a record in the log, which package audit tests.
var chained = regexp.MustCompile(`,"instance":"[^"]*","seq":\d+,"prev_hash":"[0-9a-f]*"|,"hash":"[0-9a-f]*"`)

// lastRecord is the last line of the log, without its place in it and with named texts for what is random.
func lastRecord(h *harness, names map[string]string) string {
	lines := strings.Split(strings.TrimSpace(h.sink.Text()), "\n")
	line := chained.ReplaceAllString(lines[len(lines)-1], "")
	for text, name := range names {
		line = strings.ReplaceAll(line, text, name)
	}
	return line
}

// Everything that is known of a decision is in its record.
func TestWholeRecords(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		c.Region = "here-1"
		c.Labels = []proxy.LabelRule{classified(t, "one/*", "confidential")}
	})
	c := h.call(t, "read:** list:**")
	c.RequestID, c.TraceID, c.UserAgent = "r-1", strings.Repeat("4b", 16), "test/1"
	v, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Version: "1"})
	must(t, err)
	v.Release()
	appendFact(t, h, state.Invalidation, "elsewhere/KEY")
	h.clock.pass(2*time.Second, 2*time.Second)
	a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Version: "1"})
	must(t, err)
	defer a.Release()
	who, err := h.Whoami(t.Context(), c)
	must(t, err)
	names := map[string]string{
		a.Decision: "ID", who.TokenID: "JTI", fmt.Sprintf("%x", h.log.SecretMAC(text(canary))): "MAC", strings.Repeat("0", 64): "DIGEST",
	}
	via := `"via":{"surface":"test","source_ip":"192.0.2.1","user_agent":"test/1","request_id":"r-1","trace_id":"` + c.TraceID + `"}`
	want := `{"v":1,"id":"ID","kind":"access","ts":"2026-11-21T10:00:02.000Z",` +
		`"principal":{"trust":"local","iss":"https://k.test","sub":"app","token_id":"JTI"},` + via +
		`,"action":"read","resource":{"path":"one/KEY","version":"1","mount":"one","classification":"confidential"},` +
		`"decision":{"effect":"allow","rule":"judge/said","policy_digest":"sha256:DIGEST"},` +
		`"cache":{"state":"hit","age_ms":2000,"generation":1},"result":{"status":200,"bytes":15,"value_mac":"MAC"}}`
	if got := lastRecord(h, names); got != want {
		t.Errorf("read:\ngot  %s\nwant %s", got, want)
	}
	// A refusal tells the version that was asked for.
	h.judge.effect.Store(uint32(policy.Deny))
	_, err = h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Version: "7"})
	names[decisionOf(t, err)] = "ID"
	want = `{"v":1,"id":"ID","kind":"access","ts":"2026-11-21T10:00:02.000Z",` +
		`"principal":{"trust":"local","iss":"https://k.test","sub":"app","token_id":"JTI"},` + via +
		`,"action":"read","resource":{"path":"one/KEY","version":"7","mount":"one","classification":"confidential"},` +
		`"decision":{"effect":"deny","rule":"judge/said","policy_digest":"sha256:DIGEST"},` +
		`"cache":{"generation":1},"result":{"status":403,"code":"policy_denied"}}`
	if got := lastRecord(h, names); got != want {
		t.Errorf("denied:\ngot  %s\nwant %s", got, want)
	}
	// Of a token that is not taken, the record has what tells it from others.
	_, err = h.Read(t.Context(), &proxy.Call{Token: "nonsense", Surface: "test"}, proxy.ReadRequest{Path: path(t, "one/KEY")})
	names[decisionOf(t, err)] = "ID"
	want = `{"v":1,"id":"ID","kind":"access","ts":"2026-11-21T10:00:02.000Z",` +
		`"principal":{"token_id":"sha256:999aaa8645bb72ff"},"via":{"surface":"test"},"action":"authenticate",` +
		`"resource":{"path":"one/KEY"},"cache":{"generation":1},"result":{"status":401,"code":"token_invalid"}}`
	if got := lastRecord(h, names); got != want {
		t.Errorf("bad token:\ngot  %s\nwant %s", got, want)
	}
}

func decisionOf(t testing.TB, err error) string {
	t.Helper()
	var e *proxy.Error
	if !errors.As(err, &e) || e.Decision == "" {
		t.Fatalf("error %v names no decision", err)
	}
	return e.Decision
}

// busy is a policy that cannot be asked.
type busy struct{ *judge }

func (b busy) Authorize(context.Context, *policy.Request) policy.Decision {
	return policy.Decision{Effect: policy.Allow, Fault: policy.ErrUnavailable}
}

// Each refusal is one record, of the decision that the caller is told.
func TestEveryRefusalIsRecorded(t *testing.T) {
	broken := func(h *harness, _ *proxy.Call) {
		h.store.fail.Store(true)
		h.clock.pass(time.Minute, time.Minute)
	}
	for want, arrange := range map[api.Code]func(*harness, *proxy.Call){
		api.Unauthenticated: func(_ *harness, c *proxy.Call) { c.Token = "" },
		api.TokenInvalid:    func(_ *harness, c *proxy.Call) { c.Token += "x" },
		api.TokenExpired:    func(h *harness, _ *proxy.Call) { h.clock.pass(2*time.Hour, 2*time.Hour) },
		api.Revoked: func(h *harness, _ *proxy.Call) {
			appendFact(t, h, state.Revocation, "subject:app")
			h.clock.pass(time.Second, time.Second)
		},
		api.StateUnavailable:  broken,
		api.ApprovalRequired:  func(h *harness, _ *proxy.Call) { h.judge.effect.Store(uint32(policy.RequireApproval)) },
		api.PolicyDenied:      func(h *harness, _ *proxy.Call) { h.judge.effect.Store(uint32(policy.Deny)) },
		api.PolicyUnavailable: nil,
		api.ScopeDenied:       func(h *harness, c *proxy.Call) { c.Token = h.call(t, "read:two/*").Token },
		api.NotFound:          func(h *harness, _ *proxy.Call) { delete(h.vault.secrets, "a/KEY") },
		api.UpstreamError:     func(h *harness, _ *proxy.Call) { h.vault.fail = secret.ErrDenied },
	} {
		h := newHarness(t, func(c *proxy.Config) {
			if want == api.PolicyUnavailable {
				c.Authorizer = busy{&judge{}}
			}
		})
		c := h.call(t, "read:one/*")
		if arrange != nil {
			arrange(h, c)
		}
		_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
		if code := codeOf(t, err); code != want {
			t.Errorf("got %q, want %q", code, want)
			continue
		}
		result := fmt.Sprintf(`"result":{"status":%d,"code":%q}`, want.Status(), want)
		if n := h.records(result, `"id":"`+decisionOf(t, err)+`"`); n != 1 || h.records(`"kind":"access"`) != 1 {
			t.Errorf("%s: got %d records of the refusal, want this one alone\n%s", want, n, h.sink.Text())
		}
	}
}

// What the policy sees is the whole request.
func TestWhatThePolicySees(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		c.Region = "here-1"
		c.Labels = []proxy.LabelRule{classified(t, "one/*", "public"), classified(t, "**/KEY", "confidential")}
		c.Mounts[0].Labels = []policy.Pair{{Name: "zone", Value: "z"}, {Name: "environment", Value: "test"}}
	})
	c := h.call(t, "read:one/*")
	c.UserAgent = strings.Repeat("u", 1000)
	a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Version: "1"})
	must(t, err)
	a.Release()
	got := *h.judge.last.Load()
	if got.Principal == nil || got.Principal.Subject != "app" {
		t.Errorf("got principal %+v", got.Principal)
	}
	got.Principal = nil
	want := policy.Request{
		Action: policy.Read, Path: path(t, "one/KEY"), Mount: "one", Version: "1",
		Labels: []policy.Pair{{Name: "classification", Value: "confidential"}, {Name: "environment", Value: "test"}, {Name: "zone", Value: "z"}},
		Context: policy.Context{
			Time: h.clock.Wall(), Region: "here-1", SourceIP: "192.0.2.1", Surface: "test", UserAgent: strings.Repeat("u", 128),
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := h.records(`"user_agent":"` + strings.Repeat("u", 128) + `"`); n != 1 {
		t.Errorf("got %d records of the first 128 bytes of the user agent, want 1", n)
	}
	// "current" is what is asked without a version.
	a, err = h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
	must(t, err)
	a.Release()
	if got := h.judge.last.Load().Version; got != "" {
		t.Errorf("without a version the policy sees %q, want none", got)
	}
}

// While the audit log is down the log of the program says so once, and afterwards how many were refused.
func TestALogThatIsDownIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := newHarness(t, func(c *proxy.Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
		c := h.call(t, "read:one/*")
		for range 2 {
			out.Reset()
			h.sink.Fail(errors.New("disk full"), 0)
			for range 5 {
				if _, code := h.read(t, c, "one/KEY"); code != api.AuditUnavailable {
					t.Errorf("got %q", code)
				}
			}
			h.sink.Fail(nil, 0)
			time.Sleep(3 * time.Second) // until the log has tried again
			for range 2 {
				if _, code := h.read(t, c, "one/KEY"); code != "" {
					t.Errorf("afterwards: got %q", code)
				}
			}
			if down, up := strings.Count(out.String(), "not acknowledged"), strings.Count(out.String(), "refused=5"); down != 1 || up != 1 {
				t.Errorf("got\n%s\nwant that it is down once, and that 5 were refused", out.String())
			}
		}
	})
}
