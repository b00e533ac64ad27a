package proxy_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const sessionToken = "IQoJb3JpZ2luX2VjEAAaCWV1LXdlc3QtMSJGMEQ"

// besideAProgram makes the harness take the token of a program beside it.
func besideAProgram(t testing.TB) func(*proxy.Config) {
	t.Helper()
	scopes, err := policy.ParseScopes("read:one/*")
	must(t, err)
	return func(c *proxy.Config) {
		own, err := identity.NewKeySet(c.Signer.PublicKey())
		must(t, err)
		c.Verifier, err = identity.New(identity.Config{
			Issuer: "https://k.test", Audience: "https://k.test", Keys: own, Wall: c.Wall,
			Workload: &identity.Workload{Token: sessionToken, Subject: "payments", Scopes: scopes},
		})
		must(t, err)
	}
}

// The token of the program beside a node has no end, and neither has its revocation, unless who may revoke all gives it one.
func TestRevokedProgramDoesNotComeBack(t *testing.T) {
	for name, by := range map[string]func(h *harness) *proxy.Call{
		"by an administrator": func(h *harness) *proxy.Call { return h.call(t, "revoke:**") },
		"by itself":           func(*harness) *proxy.Call { return program() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, besideAProgram(t))
			if _, code := h.read(t, program(), "one/KEY"); code != "" {
				t.Fatalf("got %q", code)
			}
			who, err := h.Whoami(t.Context(), program())
			must(t, err)
			r := revoke(t, h, by(h), api.RevokeTokenID, who.TokenID)
			if !r.Until.IsZero() {
				t.Errorf("the revocation ends at %s", r.Until)
			}
			h.clock.pass(365*24*time.Hour, 365*24*time.Hour)
			if _, code := h.read(t, program(), "one/KEY"); code != api.TokenRevoked {
				t.Errorf("a year later: got %q", code)
			}
			if r := revoke(t, h, h.call(t, "revoke:**"), api.RevokeTokenID, "another"); r.Until.IsZero() {
				t.Error("the revocation of another token has no end")
			}
		})
	}
}

func program() *proxy.Call {
	return &proxy.Call{Token: sessionToken, Surface: "test", SourceIP: "127.0.0.1"}
}

// The token of the program beside a node proves nothing elsewhere: no token is made of it that does.
func TestExchangeOfAProgramsToken(t *testing.T) {
	h := newHarness(t, besideAProgram(t))
	if c, code := h.exchange(t, sessionToken, proxy.ExchangeRequest{}); c != nil || code != api.InvalidRequest {
		t.Errorf("got %v, %q", c, code)
	}
	if n := h.records(`"action":"token_exchange"`, `"trust":"function"`, `"status":400`); n != 1 {
		t.Errorf("%d records of it, want 1", n)
	}
}
