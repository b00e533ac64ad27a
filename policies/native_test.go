package policies_test

import (
	"bytes"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/wasm"
)

// Whatever was embedded when this test was built, each call gives the caller bytes of its own.
func TestNativeIsTheCallersOwn(t *testing.T) {
	first, err := policies.Native()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]byte)
	for name, code := range first {
		if len(strings.TrimSuffix(name, ".valid")) != 64 && name != runtime.GOOS+"-"+runtime.GOARCH+".system" {
			t.Errorf("%q is not a key", name)
		}
		want[name] = bytes.Clone(code)
		clear(code)
	}
	second, err := policies.Native()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(second, want, bytes.Equal) {
		t.Error("a second call gives what the first caller overwrote")
	}
}

// BenchmarkLoad is what a start pays for both builtin policies, with machine code that came along and without.
func BenchmarkLoad(b *testing.B) {
	var modules []wasm.Module
	for _, name := range policies.Names() {
		modules = append(modules, wasm.Module{Wasm: builtin(b, name)})
	}
	native, err := wasm.Precompile(b.Context(), wasm.Config{Modules: modules})
	if err != nil {
		b.Fatal(err)
	}
	for name, chain := range map[string][]wasm.Module{"scope": modules[:1], "both": modules} {
		load := func(native wasm.Native) func(*testing.B) {
			return func(b *testing.B) {
				for b.Loop() {
					c, err := wasm.New(b.Context(), wasm.Config{Modules: chain, Native: native})
					if err != nil {
						b.Fatal(err)
					}
					if got := c.Stats(); (got.Precompiled > 0) != (native != nil) {
						b.Fatalf("got %+v", got)
					}
					if err := c.Close(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		b.Run(name+"/compiled", load(nil))
		b.Run(name+"/precompiled", load(native))
	}
}
