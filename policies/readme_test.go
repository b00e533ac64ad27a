package policies_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// The document in README.md loads and decides what its text says.
func TestReadmeExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```json\n")
	data, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no json block")
	}
	chain := load(t, builtin(t, "attributes"), []byte(data))
	ask := func(classification, ip string, hour int) policy.Decision {
		return chain.Authorize(t.Context(), &policy.Request{
			Action: policy.Read, Path: mustPath(t, "web/production/KEY"),
			Labels:    pairs(map[string]string{"classification": classification, "environment": "production"}),
			Principal: &policy.Principal{Claims: pairs(map[string]string{"environment": "production"})},
			Context:   policy.Context{Time: time.Date(2025, 11, 21, hour, 0, 0, 0, time.UTC), SourceIP: ip},
		})
	}
	for _, row := range []struct {
		classification, ip string
		hour               int
		want               policy.Effect
		rule               string
	}{
		{"internal", "203.0.113.7", 12, policy.Allow, "attributes/same-environment"},
		{"confidential", "203.0.113.7", 12, policy.Deny, "attributes/confidential-from-office"},
		{"confidential", "", 12, policy.Deny, "attributes/confidential-from-office"},
		{"confidential", "10.1.2.3", 12, policy.Allow, "attributes/same-environment"},
		{"restricted", "10.1.2.3", 12, policy.Allow, "attributes/same-environment"},
		{"restricted", "10.1.2.3", 18, policy.RequireApproval, "attributes/restricted-at-night"},
	} {
		got := ask(row.classification, row.ip, row.hour)
		if got.Effect != row.want || got.Rule != row.rule || got.Fault != nil {
			t.Errorf("%s from %q at %d: got %+v, want %s by %s", row.classification, row.ip, row.hour, got, row.want, row.rule)
		}
	}
}

func TestBuiltin(t *testing.T) {
	for _, name := range policies.Names() {
		a := builtin(t, name)
		clear(a)
		if b := builtin(t, name); string(b[:4]) != "\x00asm" {
			t.Errorf("%s: a caller can change what the next one gets", name)
		}
	}
	if _, ok := policies.Builtin("none"); ok {
		t.Error("a policy that does not exist was found")
	}
}
