package policy_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

func TestActionValid(t *testing.T) {
	for _, a := range []policy.Action{policy.Read, policy.List, policy.WriteTo, policy.Invalidate, policy.Revoke, policy.Approve} {
		if !a.Valid() {
			t.Errorf("%q is not valid", a)
		}
	}
	for _, a := range []policy.Action{"", "Read", "read ", "delete", "*"} {
		if a.Valid() {
			t.Errorf("%q is valid", a)
		}
	}
}

// The words stand in audit records and the numbers in the policy ABI: neither may change.
func TestEffectNames(t *testing.T) {
	for n, want := range []string{"deny", "allow", "abstain", "require_approval"} {
		if got := policy.Effect(n).String(); got != want {
			t.Errorf("effect %d is %q, want %q", n, got, want)
		}
	}
	for n := 4; n < 256; n++ {
		if got := policy.Effect(n).String(); got != "deny" {
			t.Errorf("unknown effect %d is %q", n, got)
		}
	}
	var d policy.Decision
	if d.Effect != policy.Deny {
		t.Error("the zero Decision does not deny")
	}
}

func TestLookup(t *testing.T) {
	pairs := []policy.Pair{{Name: "a", Value: "1"}, {Name: "b", Value: ""}}
	if v, ok := policy.Lookup(pairs, "a"); v != "1" || !ok {
		t.Errorf("Lookup(a) = %q, %v", v, ok)
	}
	if v, ok := policy.Lookup(pairs, "b"); v != "" || !ok {
		t.Errorf("Lookup(b) = %q, %v", v, ok)
	}
	if v, ok := policy.Lookup(pairs, "A"); v != "" || ok {
		t.Errorf("Lookup(A) = %q, %v", v, ok)
	}
}
