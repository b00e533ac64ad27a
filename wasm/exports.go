package wasm

import (
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
)

// Functions that a module exports.
const (
	fnVersion    = "policy_abi_version"
	fnBuffer     = "policy_buffer"
	fnEval       = "policy_eval"
	fnInit       = "policy_init"
	fnDetail     = "policy_detail"
	fnInitialize = "_initialize"
)

// checkExports verifies the module's side of the ABI.
func checkExports(m *meter.Module, withData bool) error {
	if m.Memory == nil || m.Export("memory", meter.ExportMemory) == nil {
		return fmt.Errorf("export %q (a memory) is missing", "memory")
	}
	for _, e := range m.Exports {
		if e.Name == fuelExport || strings.HasPrefix(e.Name, reservedPrefix) {
			return fmt.Errorf("the export name %.80q belongs to the host", e.Name)
		}
	}
	i32, i64 := []meter.ValueType{meter.I32}, []meter.ValueType{meter.I64}
	pair := []meter.ValueType{meter.I32, meter.I32}
	for _, want := range []struct {
		name            string
		params, results []meter.ValueType
		required        bool
	}{
		{fnVersion, nil, i32, true},
		{fnBuffer, i32, i32, true},
		{fnEval, pair, i64, true},
		{fnInit, pair, i32, withData},
		{fnDetail, nil, i64, false},
		{fnInitialize, nil, nil, false},
	} {
		e := m.Export(want.name, meter.ExportFunc)
		if e == nil {
			if want.required {
				return fmt.Errorf("export %q (a function) is missing", want.name)
			}
			continue
		}
		t, defined := m.FuncTypeOf(e.Index)
		if !defined {
			return fmt.Errorf("export %q is an import", want.name)
		}
		if !t.Is(want.params, want.results) {
			return fmt.Errorf("export %q has the wrong type", want.name)
		}
	}
	return nil
}

// checkImports verifies that the module imports only what the host gives it.
func checkImports(m *meter.Module, wasi bool) error {
	for _, imp := range m.Imports {
		t := m.Types[imp.Type]
		switch {
		case imp.Module == hostModule && imp.Name == fnLog:
			if !t.Is([]meter.ValueType{meter.I32, meter.I32}, nil) {
				return fmt.Errorf("import %s.%s has the wrong type", imp.Module, imp.Name)
			}
		case imp.Module == wasiModule && wasi:
			f, ok := findWASI(imp.Name)
			if !ok {
				return fmt.Errorf("import %s.%.80q is not supported", imp.Module, imp.Name)
			}
			if !t.Is(f.params, f.results) {
				return fmt.Errorf("import %s.%s has the wrong type", imp.Module, imp.Name)
			}
		case imp.Module == wasiModule:
			return fmt.Errorf(`import %s.%.80q needs "wasi":true in the manifest`, imp.Module, imp.Name)
		default:
			return fmt.Errorf("import %.80q.%.80q is not allowed", imp.Module, imp.Name)
		}
	}
	return nil
}
