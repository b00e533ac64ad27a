package policies_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/wasm"
)

// Whatever was embedded when this test was built is found by its name, and each call gives the caller bytes of its own.
func TestNativeIsTheCallersOwn(t *testing.T) {
	var n policies.Native
	dir := filepath.Join("native", runtime.GOOS+"-"+runtime.GOARCH)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // it keeps the directory in the repository
		}
		if len(strings.TrimSuffix(e.Name(), ".valid")) != 64 && e.Name() != runtime.GOOS+"-"+runtime.GOARCH+".system" {
			t.Errorf("%q is not a key", e.Name())
		}
		want, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			code, ok := n.Code(e.Name())
			if !ok || !bytes.Equal(code, want) {
				t.Fatalf("%s: got %d bytes, %v, want the %d of the file", e.Name(), len(code), ok, len(want))
			}
			clear(code)
		}
	}
	for _, name := range []string{"", ".", "..", "../scope.wasm", strings.Repeat("0", 64)} {
		if _, ok := n.Code(name); ok {
			t.Errorf("%q is found", name)
		}
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
