package policies_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func mustPath(t *testing.T, s string) secret.Path {
	t.Helper()
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The most expensive scopes that a token can carry must not run a policy out of fuel: each matches to its last byte.
func TestScopeFuelCoversTheLargestToken(t *testing.T) {
	text := strings.Repeat(strings.Repeat("a", 31)+"/", 15) + strings.Repeat("a", 30)
	path := mustPath(t, text+"a")
	pattern, err := secret.ParsePattern(text + "b")
	if err != nil {
		t.Fatal(err)
	}
	var scopes policy.Scopes
	for range policy.MaxScopes {
		scopes = append(scopes, policy.Scope{Action: policy.Read, Pattern: pattern})
	}
	for _, module := range [][]byte{builtin(t, "scope"), jsonGuest(t)} {
		got := load(t, module, nil).Authorize(t.Context(), &policy.Request{
			Action: policy.Read, Path: path, Principal: &policy.Principal{Scopes: scopes},
		})
		if got.Fault != nil || !strings.HasSuffix(got.Rule, "/uncovered") {
			t.Errorf("got %+v, want a plain denial", got)
		}
	}
}

// A large document of patterns that nearly match everywhere stays within the fuel as well.
func TestAttributesFuelCoversALargeDocument(t *testing.T) {
	var rules []string
	for i := range 128 {
		list := strings.Repeat(`"**/a/a/a/a/a/a/a/b",`, 16) + `"**/b"`
		rules = append(rules, fmt.Sprintf(`{"name":"r%d","effect":"deny","when":{"path":[%s]}}`, i, list))
	}
	chain := load(t, builtin(t, "attributes"), []byte(doc(rules...)))
	got := chain.Authorize(t.Context(), &policy.Request{
		Action: policy.Read, Path: mustPath(t, strings.Repeat("a/", 15)+"a"), Principal: &policy.Principal{},
	})
	if got.Fault != nil || got.Rule != "attributes/default" {
		t.Errorf("got %+v, want the default", got)
	}
}
