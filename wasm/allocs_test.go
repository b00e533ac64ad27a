//go:build !race

package wasm_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// The race detector allocates, so this runs without it.
func TestDecisionsAllocateNothing(t *testing.T) {
	r, ctx := request(t), t.Context()
	for name, m := range map[string]string{"flat_prefix": `"encoding":"flat1"`, "json_read": `"encoding":"json"`} {
		c := chain(t, guest(t, name, inputs(), m, `"rules":{"1":"prefix","0":"read"}`))
		got := testing.AllocsPerRun(1000, func() {
			if c.Authorize(ctx, r).Effect != policy.Allow {
				t.Fatal("not allowed")
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations per decision", name, got)
		}
	}
}
