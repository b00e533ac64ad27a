package wasm_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

func hostile(t testing.TB, name string) []byte {
	t.Helper()
	code, ok := wattest.Load(t, hostileDir)[name]
	if !ok {
		t.Fatalf("no hostile module %q", name)
	}
	return code
}

// Those that New refuses, with a part of the error.
func refusedAtLoad() map[string]string {
	return map[string]string{
		"endless_start":    "fuel in _initialize",
		"table_huge":       "table of 100000000 entries",
		"memory_huge":      "memory starts with 65 pages",
		"buffer_outside":   "outside the memory",
		"buffer_refused":   "refused 4096 bytes",
		"version":          "returned 2",
		"import_env":       `import "env"."abort" is not allowed`,
		"import_unknown":   `import "policy_v1"."now" is not allowed`,
		"import_wasi":      `needs "wasi":true`,
		"import_memory":    "not a function",
		"import_global":    "not a function",
		"import_as_export": `needs "wasi":true`,
		"refuel_export":    `"policy_fuel" belongs to the host`,
		"refuel_host_name": `"keyhole.global.0" belongs to the host`,
		"refuel_global":    "global 1 of 1",
		"refuel_helper":    "function 3 of 3",
		"start":            "start function",
		"tailcall":         "opcode 0x12",
		"simd":             "opcode 0xfd",
		"atomics":          "shared or 64-bit",
		"export_missing":   `"policy_eval" (a function) is missing`,
		"export_type":      `"policy_eval" has the wrong type`,
		"memory_missing":   `"memory" (a memory) is missing`,
		"segment_outside":  "instantiating",
	}
}

// Those that load, with the fault of each decision.
func faultsWhenRun() map[string]error {
	return map[string]error{
		"trap":            wasm.ErrTrap,
		"endless":         wasm.ErrFuel,
		"endless_buffer":  wasm.ErrFuel,
		"endless_detail":  wasm.ErrFuel,
		"calltree":        wasm.ErrFuel,
		"grow":            wasm.ErrFuel,
		"bulk":            wasm.ErrFuel,
		"table_grow":      wasm.ErrFuel,
		"buffer_later":    wasm.ErrOutput,
		"bits_reserved":   wasm.ErrOutput,
		"bits_sign":       wasm.ErrOutput,
		"bits_effect":     wasm.ErrOutput,
		"detail_outside":  wasm.ErrOutput,
		"detail_long":     wasm.ErrOutput,
		"detail_not_json": wasm.ErrOutput,
		"detail_missing":  wasm.ErrOutput,
		"recursion":       wasm.ErrFuel,
		"brtable":         wasm.ErrFuel,
		"indirect":        wasm.ErrFuel,
		"log_flood":       wasm.ErrFuel,
		"log_outside":     wasm.ErrTrap,
	}
}

func TestEveryHostileModuleIsExpected(t *testing.T) {
	refused, faults := refusedAtLoad(), faultsWhenRun()
	for name := range wattest.Load(t, hostileDir) {
		_, r := refused[name]
		if _, f := faults[name]; r == f {
			t.Errorf("%s stands in %v lists, want 1", name, map[bool]int{false: 0, true: 2}[r])
		}
	}
}

func TestHostileModulesAreRefused(t *testing.T) {
	for name, want := range refusedAtLoad() {
		t.Run(name, func(t *testing.T) {
			_, err := wasm.New(t.Context(), wasm.Config{Modules: []wasm.Module{withManifest(hostile(t, name), name)}})
			if !errors.Is(err, wasm.ErrLoad) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error about %q", err, want)
			}
		})
	}
}

// Each hostile policy denies with its fault, each time, and neither the next decision of another chain nor one of the
// same chain without it is touched.
func TestHostileModulesDeny(t *testing.T) {
	good := chain(t, guest(t, "flat_prefix"))
	for name, want := range faultsWhenRun() {
		isolations := []wasm.Isolation{wasm.Pooled}
		if name == "trap" || name == "endless" || name == "grow" {
			isolations = append(isolations, wasm.Reset, wasm.Fresh)
		}
		for _, isolation := range isolations {
			t.Run(name+"/"+string(isolation), func(t *testing.T) {
				m := withManifest(hostile(t, name), name, `"inputs":["principal.claims"]`)
				c := load(t, wasm.Config{Modules: []wasm.Module{guest(t, "flat_prefix"), m}, Isolation: isolation})
				r := request(t)
				// Larger than the buffer that was asked for at load.
				r.Principal.Claims = []policy.Pair{{Name: "long", Value: strings.Repeat("x", 5000)}}
				for i := range 3 {
					got := c.Authorize(t.Context(), r)
					rule := strings.ReplaceAll(name, "/", "-") + "/error"
					if got.Effect != policy.Deny || got.Rule != rule || !errors.Is(got.Fault, want) {
						t.Fatalf("decision %d: %v by %s, fault %v; want a denial by %s, fault %v", i, got.Effect, got.Rule, got.Fault, rule, want)
					}
					if got := good.Authorize(t.Context(), request(t)); got.Effect != policy.Allow || got.Fault != nil {
						t.Fatalf("the good chain gives %+v after decision %d", got, i)
					}
				}
				if got := c.Stats().Faults; got != 3 {
					t.Errorf("%d faults counted", got)
				}
			})
		}
	}
}

// hugeLocals makes policy_eval call a function of n locals for ever; text would be a quarter of a megabyte.
func hugeLocals(n uint32) []byte {
	leb := string([]byte{byte(n&0x7f | 0x80), byte(n>>7&0x7f | 0x80), byte(n >> 14)})
	section := func(id byte, content string) string { return string(id) + string(rune(len(content))) + content }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x04\x60\x00\x01\x7f\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e\x60\x00\x00") +
		section(3, "\x04\x00\x01\x02\x03") +
		section(5, "\x01\x00\x01") +
		section(7, "\x04\x06memory\x02\x00\x12policy_abi_version\x00\x00\x0dpolicy_buffer\x00\x01\x0bpolicy_eval\x00\x02") +
		section(10, "\x04"+
			"\x04\x00\x41\x01\x0b"+ // version: 1
			"\x05\x00\x41\x80\x08\x0b"+ // buffer: 1024
			"\x0b\x00\x03\x40\x10\x03\x0c\x00\x0b\x42\x01\x0b"+ // eval: loop { call 3 }
			"\x06\x01"+leb+"\x7e\x0b")) // n locals of type i64
}

// 50,000 locals cost 50,000 units in each call: the default fuel is spent after 200 calls.
func TestHugeLocalsArePaidFor(t *testing.T) {
	c := chain(t, withManifest(hugeLocals(50_000), "locals"))
	if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Deny || !errors.Is(got.Fault, wasm.ErrFuel) {
		t.Errorf("got %+v", got)
	}
	_, err := wasm.New(t.Context(), wasm.Config{Modules: []wasm.Module{withManifest(hugeLocals(50_001), "locals")}})
	if !errors.Is(err, wasm.ErrLoad) || !strings.Contains(err.Error(), "locals") {
		t.Errorf("got %v", err)
	}
}

// With the most fuel there is, recursion meets the end of the stack first.
func TestStackOverflowDenies(t *testing.T) {
	c := chain(t, withManifest(hostile(t, "recursion"), "recursion", `"fuel":100000000`))
	for range 2 {
		got := c.Authorize(t.Context(), request(t))
		if got.Effect != policy.Deny || !errors.Is(got.Fault, wasm.ErrTrap) || !strings.Contains(fmt.Sprint(got.Fault), "stack overflow") {
			t.Fatalf("got %+v", got)
		}
	}
}

// A policy that grows its memory at every decision stays within its pages, and what it took is given back.
func TestMemoryIsGivenBack(t *testing.T) {
	c := load(t, wasm.Config{Modules: []wasm.Module{withManifest(hostile(t, "grow"), "grow")}, MaxInstances: 2})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 20 {
		c.Authorize(t.Context(), request(t))
	}
	// 20 instances of 64 pages would be 80 MiB.
	if after := heap(); after > before+32<<20 {
		t.Errorf("the heap went from %d to %d bytes", before, after)
	}
	if got := c.Idle(); got != 0 {
		t.Errorf("%d failed instances were kept", got)
	}
}
