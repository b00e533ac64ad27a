package proxy_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// iamHarness takes the role worker as a principal that reads below one.
func iamHarness(t *testing.T) (*harness, *proxy.Call) {
	t.Helper()
	h := newHarness(t, nil)
	made, err := trust.Template("aws-function-url", map[string][]string{"account": {"123456789012"}, "role": {"worker"}, "role_id": {"AROAEXAMPLE"}})
	must(t, err)
	rule, err := made.Extend(trust.Rule{Name: "workers", Map: trust.Map{Scopes: []string{"read:one/*"}, Labels: map[string]string{"team": "jobs"}}})
	must(t, err)
	set, err := trust.New([]trust.Rule{rule})
	must(t, err)
	keys, err := identity.NewKeySet(h.signer.PublicKey())
	must(t, err)
	v, err := identity.New(identity.Config{Issuer: "https://k.test", Audience: "https://k.test", Keys: keys, Trust: set, Wall: h.clock.Wall})
	must(t, err)
	_, err = h.SetRules(proxy.Rules{Verifier: v, Authorizer: h.judge, Signer: h.signer})
	must(t, err)
	return h, &proxy.Call{Surface: "test", SourceIP: "192.0.2.1", IAM: &identity.IAM{
		Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/worker/one", UserID: "AROAEXAMPLE:one", AccessKey: "ASIAEXAMPLE",
	}}
}

func TestIAMCaller(t *testing.T) {
	h, c := iamHarness(t)
	if got, code := h.read(t, c, "one/KEY"); got != canary {
		t.Errorf("got %q %s", got, code)
	}
	pr := h.judge.last.Load().Principal
	if team, _ := policy.Lookup(pr.Claims, "labels.team"); pr.Trust != "workers" || team != "jobs" || pr.AuthenticatedBy != "aws_iam" {
		t.Errorf("the policy saw %+v", pr)
	}
	if _, code := h.read(t, c, "two/KEY"); code != api.ScopeDenied {
		t.Errorf("got %s", code)
	}
	items, err := h.ReadBatch(t.Context(), c, []secret.Path{path(t, "one/KEY"), path(t, "two/KEY")})
	must(t, err)
	defer items[0].Answer.Release()
	if items[0].Err != nil || codeOf(t, items[1].Err) != api.ScopeDenied {
		t.Errorf("got %v, %v", items[0].Err, items[1].Err)
	}
	if n := h.records(`"trust":"workers"`, `"token_id":"ASIAEXAMPLE"`); n != 4 {
		t.Errorf("%d records\n%s", n, h.sink.Text())
	}
}

// A token comes first, be it good or bad.
func TestIAMCallerWithAToken(t *testing.T) {
	h, c := iamHarness(t)
	for token, want := range map[string]api.Code{"nonsense": api.TokenInvalid, h.call(t, "read:two/*").Token: api.ScopeDenied} {
		both := *c
		both.Token = token
		if _, code := h.read(t, &both, "one/KEY"); code != want {
			t.Errorf("got %s, want %s", code, want)
		}
	}
}

// Callers that no rule takes are refused each time, and hold nobody back.
func TestIAMCallerThatIsNobody(t *testing.T) {
	h, c := iamHarness(t)
	stranger := *c
	stranger.IAM = &identity.IAM{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/worker/one", UserID: "AROAOTHER:one", AccessKey: "ASIAOTHER"}
	for range 40 {
		if _, code := h.read(t, &stranger, "one/KEY"); code != api.Unauthenticated {
			t.Fatalf("got %s", code)
		}
	}
	if h.records(`"action":"authenticate"`, `"token_id":"ASIAOTHER"`) != 40 || h.vault.reads.Load() != 0 {
		t.Errorf("got %s", h.sink.Text())
	}
	if got, code := h.read(t, h.call(t, "read:one/*"), "one/KEY"); got != canary {
		t.Errorf("a token from the same address: got %q %s", got, code)
	}
}

// A caller whose rule goes away while its record is written gets nothing.
func TestIAMCallerIsRevokedInBetween(t *testing.T) {
	h, c := iamHarness(t)
	h.read(t, c, "one/KEY")
	entered, leave := h.sink.hold()
	done := make(chan api.Code)
	go func() {
		a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
		if err == nil {
			a.Release()
			done <- ""
			return
		}
		done <- codeOf(t, err)
	}()
	<-entered
	appendFact(t, h, state.Revocation, "trust:workers")
	h.clock.pass(2*time.Second, 2*time.Second)
	close(leave)
	if code := <-done; code != api.Revoked {
		t.Errorf("got %q", code)
	}
}
