package meter_test

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

// Parse never panics; what both it and the engine accept can be instrumented (or is too large then), and the result is
// accepted by the engine and by Parse again.
func FuzzInstrument(f *testing.F) {
	for _, dir := range []string{goodDir, "../../testdata/hostile", "../../testdata/guests"} {
		for _, wasm := range wattest.Load(f, dir) {
			f.Add(wasm)
		}
	}
	for _, m := range []module{{body: countdown()}, {locals: 3, body: grow(2)}, {body: bulk(0x0a, []byte{0, 0}, 9)}} {
		f.Add(m.encode())
	}
	config := wazero.NewRuntimeConfigInterpreter().
		WithCoreFeatures(api.CoreFeaturesV2.SetEnabled(api.CoreFeatureSIMD, false)).WithDebugInfoEnabled(false)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := meter.Parse(wasm)
		if err != nil {
			return
		}
		ctx := context.Background()
		r := wazero.NewRuntimeWithConfig(ctx, config)
		defer r.Close(ctx)
		if _, err := r.CompileModule(ctx, m.Core()); err != nil {
			return
		}
		out, err := m.Instrument(meter.Options{FuelExport: "keyhole.fuel", MaxPages: 65_536, GlobalExport: "keyhole.global."})
		if err != nil {
			for _, e := range m.Exports {
				if e.Name == "keyhole.fuel" {
					return
				}
			}
			if len(wasm) < meter.MaxOutputBytes/16 {
				t.Fatalf("a valid module cannot be instrumented: %v", err)
			}
			return
		}
		if _, err := r.CompileModule(ctx, out); err != nil {
			for _, e := range m.Exports {
				if len(e.Name) > len("keyhole.") && e.Name[:8] == "keyhole." {
					return
				}
			}
			t.Fatalf("the engine accepts the original and refuses the instrumented module: %v", err)
		}
		if len(out) <= meter.MaxModuleBytes {
			if _, err := meter.Parse(out); err != nil {
				t.Fatalf("its own output is refused: %v", err)
			}
		}
	})
}
