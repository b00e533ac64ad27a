package meter_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

const goodDir = "testdata/good"

func TestBinariesMatchTheirText(t *testing.T) { wattest.Check(t, goodDir) }

func runtimes(t testing.TB) map[string]wazero.Runtime {
	features := api.CoreFeaturesV2.SetEnabled(api.CoreFeatureSIMD, false)
	out := map[string]wazero.Runtime{
		"compiler":    wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features)),
		"interpreter": wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features)),
	}
	t.Cleanup(func() {
		for _, r := range out {
			r.Close(context.Background())
		}
	})
	return out
}

func options() meter.Options { return meter.Options{FuelExport: "fuel", MaxPages: 64} }

func instrument(t testing.TB, wasm []byte) []byte {
	t.Helper()
	m, err := meter.Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Instrument(options())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func instantiate(t testing.TB, r wazero.Runtime, wasm []byte) api.Module {
	t.Helper()
	m, err := r.InstantiateWithConfig(t.Context(), wasm, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

func setFuel(t testing.TB, m api.Module, n int64) {
	t.Helper()
	m.ExportedGlobal("fuel").(api.MutableGlobal).Set(uint64(n))
}

func fuel(m api.Module) int64 { return int64(m.ExportedGlobal("fuel").Get()) }

// What a module computes does not change: same results, same memory.
func TestInstrumentedModulesComputeTheSame(t *testing.T) {
	for engine, r := range runtimes(t) {
		for name, wasm := range wattest.Load(t, goodDir) {
			t.Run(engine+"/"+name, func(t *testing.T) {
				charged := instrument(t, wasm)
				for n := range uint64(24) {
					want, got := instantiate(t, r, wasm), instantiate(t, r, charged)
					setFuel(t, got, 100_000_000)
					for range 2 {
						wantN, wantErr := want.ExportedFunction("run").Call(t.Context(), n)
						gotN, gotErr := got.ExportedFunction("run").Call(t.Context(), n)
						if (wantErr == nil) != (gotErr == nil) {
							t.Fatalf("run(%d): error %v, instrumented %v", n, wantErr, gotErr)
						}
						if wantErr == nil && wantN[0] != gotN[0] {
							t.Fatalf("run(%d) = %d, instrumented %d", n, wantN[0], gotN[0])
						}
					}
					if w, g := memoryOf(want), memoryOf(got); !bytes.Equal(w, g) {
						t.Fatalf("run(%d) left another memory: %d and %d bytes", n, len(w), len(g))
					}
					if left := fuel(got); left < 0 || left >= 100_000_000 {
						t.Fatalf("run(%d) left %d units", n, left)
					}
				}
			})
		}
	}
}

func memoryOf(m api.Module) []byte {
	mem := m.ExportedMemory("memory")
	if mem == nil {
		return nil
	}
	view, _ := mem.Read(0, mem.Size())
	return view
}

// One unit too little traps, exactly enough does not: fuel bounds, and it is deterministic across engines.
func TestFuelIsExact(t *testing.T) {
	used := make(map[string]int64)
	for engine, r := range runtimes(t) {
		for name, wasm := range wattest.Load(t, goodDir) {
			charged := instrument(t, wasm)
			m := instantiate(t, r, charged)
			setFuel(t, m, 1_000_000)
			if _, err := m.ExportedFunction("run").Call(t.Context(), 5); err != nil {
				t.Fatalf("%s on %s: %v", name, engine, err)
			}
			cost := 1_000_000 - fuel(m)
			if before, ok := used[name]; ok && before != cost {
				t.Errorf("%s costs %d on %s, %d on the other engine", name, cost, engine, before)
			}
			used[name] = cost
			m = instantiate(t, r, charged)
			setFuel(t, m, cost)
			if _, err := m.ExportedFunction("run").Call(t.Context(), 5); err != nil {
				t.Errorf("%s on %s with exactly %d units: %v", name, engine, cost, err)
			}
			m = instantiate(t, r, charged)
			setFuel(t, m, cost-1)
			if _, err := m.ExportedFunction("run").Call(t.Context(), 5); err == nil {
				t.Errorf("%s on %s ran with one unit less than its cost %d", name, engine, cost)
			}
		}
	}
}

// Without fuel nothing runs: the global starts at zero.
func TestNothingRunsWithoutFuel(t *testing.T) {
	for _, r := range runtimes(t) {
		m := instantiate(t, r, instrument(t, wattest.Load(t, goodDir)["fib"]))
		if _, err := m.ExportedFunction("run").Call(t.Context(), 1); err == nil {
			t.Error("it ran without fuel")
		}
	}
}

func TestCharges(t *testing.T) {
	rows := []struct {
		name string
		mod  module
		want int64 // units that run(3) costs
	}{
		{"an empty function pays its end and its entry", module{body: nop()}, 2 + 16}, // i64.const, end
		{"locals", module{locals: 100, body: nop()}, 2 + 16 + 100},
		{"as many locals as there may be", module{locals: meter.MaxLocals, body: nop()}, 2 + 16 + meter.MaxLocals},
		// loop: local.get, i32.const, i32.sub, local.tee, br_if, end = 6 for each of 3 passes
		{"a loop pays for each pass", module{body: countdown()}, (1 + 6 + 2) + 16 + 3*6},
		{"memory.fill", module{body: bulk(0x0b, []byte{0}, 800)}, 6 + 16 + 100 + 16},
		{"memory.copy", module{body: bulk(0x0a, []byte{0, 0}, 807)}, 6 + 16 + 100 + 16},
		{"memory.grow within the maximum", module{body: grow(2)}, 5 + 16 + 2*8192 + 64},
		{"memory.grow beyond it", module{body: grow(64)}, 5 + 16 + 64},
		{"memory.grow far beyond it", module{body: grow(-1)}, 5 + 16 + 64},
	}
	r := runtimes(t)["interpreter"]
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			m := instantiate(t, r, instrument(t, row.mod.encode()))
			setFuel(t, m, 1_000_000)
			if _, err := m.ExportedFunction("run").Call(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			if got := 1_000_000 - fuel(m); got != row.want {
				t.Errorf("cost %d, want %d", got, row.want)
			}
		})
	}
}

// A charge comes before the work: a length that fuel does not cover never reaches the instruction.
func TestBulkPaysFirst(t *testing.T) {
	r := runtimes(t)["compiler"]
	m := instantiate(t, r, instrument(t, module{body: bulk(0x0b, []byte{0}, 60_000)}.encode()))
	setFuel(t, m, 1000)
	if _, err := m.ExportedFunction("run").Call(t.Context(), 3); err == nil {
		t.Fatal("it ran")
	}
	if got := memoryOf(m)[0]; got != 0 {
		t.Error("the memory was filled before it was paid for")
	}
}

func TestLimitsAreLowered(t *testing.T) {
	rows := []struct {
		name string
		mod  module
		want uint32
	}{
		{"no maximum", module{body: nop()}, 64},
		{"a higher one", module{body: nop(), maxPages: 1000}, 64},
		{"a lower one", module{body: nop(), maxPages: 10}, 10},
	}
	for _, row := range rows {
		m, err := meter.Parse(instrument(t, row.mod.encode()))
		if err != nil {
			t.Fatal(err)
		}
		if !m.Memory.HasMax || m.Memory.Max != row.want {
			t.Errorf("%s: memory %+v, want a maximum of %d", row.name, *m.Memory, row.want)
		}
	}
}

func TestTablesAreLowered(t *testing.T) {
	m, err := meter.Parse(instrument(t, wattest.Load(t, goodDir)["tables"]))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Tables[0].Max; got != 8 {
		t.Errorf("a declared maximum of 8 became %d", got)
	}
	if got := m.Tables[1]; !got.HasMax || got.Max != meter.MaxTableEntries {
		t.Errorf("a table without maximum became %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	header := "\x00asm\x01\x00\x00\x00"
	rows := []struct{ name, wasm, want string }{
		{"empty", "", "not a WebAssembly binary"},
		{"component", "\x00asm\x0d\x00\x01\x00", "not a WebAssembly binary"},
		{"section beyond the end", header + "\x01\x05\x00", "section 1 of 5 bytes"},
		{"section twice", header + "\x01\x01\x00\x01\x01\x00", "out of order"},
		{"sections out of order", header + "\x03\x01\x00\x01\x01\x00", "out of order"},
		{"tag section", header + "\x0d\x01\x00", "unknown"},
		{"start section", header + "\x08\x01\x00", "start function"},
		{"left-over bytes", header + "\x01\x02\x00\x00", "left over"},
		{"four billion functions", header + "\x03\x05\xff\xff\xff\xff\x0f", "elements declared"},
		{"four billion imports", header + "\x02\x05\xff\xff\xff\xff\x0f", "elements declared"},
		{"overlong count", header + "\x03\x06\xff\xff\xff\xff\x1f\x00", "larger than 32 bits"},
		{"GC type", header + "\x01\x03\x01\x4e\x00", "elements declared"},
		{"structure type", header + "\x01\x04\x01\x5f\x00\x00", "form 0x5f"},
		{"v128 parameter", header + "\x01\x05\x01\x60\x01\x7b\x00", "0x7b"},
		{"imported table", header + "\x02\x09\x01\x01a\x01b\x01\x70\x00\x00", "not a function"},
		{"imported memory", header + "\x02\x08\x01\x01a\x01b\x02\x00\x01", "not a function"},
		{"imported global", header + "\x02\x08\x01\x01a\x01b\x03\x7f\x00", "not a function"},
		{"shared memory", header + "\x05\x04\x01\x03\x01\x01", "shared or 64-bit"},
		{"64-bit memory", header + "\x05\x03\x01\x04\x01", "shared or 64-bit"},
		{"two memories", header + "\x05\x05\x02\x00\x01\x00\x01", "at most 1"},
		{"large table", header + "\x04\x06\x01\x70\x00\x80\x80\x08", "entries"},
		{"five tables", header + "\x04\x10\x05\x70\x00\x01\x70\x00\x01\x70\x00\x01\x70\x00\x01\x70\x00\x01", "at most 4"},
		{"global.get in a constant", header + "\x06\x06\x01\x7f\x00\x23\x00\x0b", "constant expression"},
		{"extended constant", header + "\x06\x09\x01\x7f\x00\x41\x01\x41\x01\x6a\x0b", "more than one instruction"},
		{"name that is not UTF-8", header + "\x00\x02\x01\xff", "UTF-8"},
		{"no bodies", header + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", "1 functions and 0 bodies"},
		{"one local too many", string(module{locals: meter.MaxLocals + 1, body: nop()}.encode()), "locals"},
		{"four billion locals", string(module{locals: 1<<32 - 1, body: nop()}.encode()), "locals"},
		{"unknown opcode", string(module{body: "\xff\x0b"}.encode()), "opcode 0xff"},
		{"SIMD", string(module{body: "\xfd\x0c\x0b"}.encode()), "opcode 0xfd"},
		{"atomics", string(module{body: "\xfe\x03\x00\x0b"}.encode()), "opcode 0xfe"},
		{"tail call", string(module{body: "\x12\x00\x0b"}.encode()), "opcode 0x12"},
		{"exceptions", string(module{body: "\x1f\x40\x00\x0b\x0b"}.encode()), "opcode 0x1f"},
		{"unknown misc opcode", string(module{body: "\xfc\x12\x0b"}.encode()), "opcode 0xfc 0x12"},
		{"overlong misc opcode", string(module{body: "\xfc\x80\x00\x0b"}.encode()), "opcode 0xfc 0x80"},
		{"global of nothing", string(module{body: "\x42\x00\x24\x00" + nop()}.encode()), "global 0 of 0"},
		{"call of nothing", string(module{body: "\x10\x01" + nop()}.encode()), "function 1 of 1"},
		{"reference to nothing", string(module{body: "\xd2\x01\x1a" + nop()}.encode()), "function 1 of 1"},
		{"block of an unknown type", string(module{body: "\x02\x01\x0b" + nop()}.encode()), "block type 1 of 1"},
		{"block of type v128", string(module{body: "\x02\x7b\x0b" + nop()}.encode()), "block type 0x7b"},
		{"no end", string(module{body: "\x02\x40\x0b"}.encode()), "unexpected end"},
		{"something after the end", string(module{body: nop() + "\x0b"}.encode()), "after the end"},
		{"else without if", string(module{body: "\x02\x40\x05\x0b" + nop()}.encode()), "else without if"},
		{"second memory in an address", string(module{body: "\x41\x00\x28\x42\x00\x00\x1a" + nop()}.encode()), "alignment"},
		{"too many loops", string(module{body: strings.Repeat("\x03\x40\x0b", 1025) + nop()}.encode()), "1025 in one function"},
		{"deep nesting", string(module{body: strings.Repeat("\x02\x40", meter.MaxNesting+1)}.encode()), "nested deeper"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := meter.Parse([]byte(row.wasm))
			if !errors.Is(err, meter.ErrRefused) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one about %q", err, row.want)
			}
		})
	}
}

func TestModuleSizeIsBounded(t *testing.T) {
	if _, err := meter.Parse(make([]byte, meter.MaxModuleBytes+1)); !errors.Is(err, meter.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// A function of three bytes becomes one of twenty: the output is bounded too.
func TestOutputSizeIsBounded(t *testing.T) {
	m, err := meter.Parse(manyFunctions(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Instrument(options()); !errors.Is(err, meter.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestFuelExportIsReserved(t *testing.T) {
	m, err := meter.Parse(wattest.Load(t, goodDir)["fib"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Instrument(meter.Options{FuelExport: "run", MaxPages: 64}); !errors.Is(err, meter.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// Core leaves everything but custom sections as it was.
func TestCoreDropsCustomSections(t *testing.T) {
	wasm := wattest.Load(t, goodDir)["tables"]
	custom := append(append([]byte{}, wasm...), "\x00\x05\x04note"...)
	m, err := meter.Parse(custom)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Customs) != 1 || m.Customs[0].Name != "note" {
		t.Errorf("custom sections %v", m.Customs)
	}
	if !bytes.Equal(m.Core(), wasm) {
		t.Error("the rest changed")
	}
}
