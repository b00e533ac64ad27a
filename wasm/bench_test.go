package wasm_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

func BenchmarkPolicyFlat1(b *testing.B) {
	benchmark(b, guest(b, "flat_prefix", inputs(), `"rules":{"1":"prefix"}`))
}

func BenchmarkPolicyJSON(b *testing.B) {
	benchmark(b, guest(b, "json_read", inputs(), `"encoding":"json"`, `"rules":{"0":"read"}`))
}

func BenchmarkPolicyIsolation(b *testing.B) {
	for _, isolation := range []wasm.Isolation{wasm.Pooled, wasm.Reset, wasm.Fresh} {
		b.Run(string(isolation), func(b *testing.B) {
			c := load(b, wasm.Config{Modules: []wasm.Module{guest(b, "flat_prefix", inputs(), `"rules":{"1":"prefix"}`)}, Isolation: isolation})
			run(b, c)
		})
	}
}

func inputs() string {
	return `"inputs":["action","secret.path","secret.mount","principal.trust","principal.scopes","principal.claims","secret.labels","context.source_ip"]`
}

func benchmark(b *testing.B, m wasm.Module) { run(b, chain(b, m)) }

func run(b *testing.B, c *wasm.Chain) {
	b.ReportAllocs()
	r, ctx := request(b), b.Context()
	for b.Loop() {
		if c.Authorize(ctx, r).Effect != policy.Allow {
			b.Fatal("not allowed")
		}
	}
}
