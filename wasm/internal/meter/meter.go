// Package meter reads WebAssembly binaries strictly and rewrites them so that they pay for what they run.
//
// Its laws:
//   - Parse bounds every count by the bytes that are left before it allocates, so no module can cost more memory than a
//     small multiple of its own size. It runs before any other reader sees the module.
//   - What Parse does not know, it refuses: sections, opcodes, types, prefixes.
//   - Every index is checked against the module as it was written, so nothing in it can mean what Instrument appends.
//   - In an instrumented module no path runs an unbounded number of instructions between two charges: each function
//     entry and each pass of a loop header charges for all that can run before the next one.
//
// The rewritten module must still be validated by the engine, and the original must have been: Parse checks structure
// and indices, not types.
package meter

import (
	"errors"
	"fmt"
)

// ErrRefused is wrapped by every error of this package: the module must be fixed or built with other options.
var ErrRefused = errors.New("module refused")

// Bounds of what is accepted. They are far above what compilers produce for a policy.
const (
	MaxModuleBytes  = 4 << 20
	MaxOutputBytes  = 16 << 20
	MaxLocals       = 50_000 // of one function, parameters not counted
	MaxNesting      = 10_000 // open blocks in one function
	MaxTables       = 4
	MaxLoopSquares  = 1 << 20 // sum over functions of the square of their loops: the engine's compile time grows with it
	MaxTableEntries = 32_768  // of one table
	maxTypeArity    = 1000    // parameters or results of one function type
	pageLimit       = 65_536  // of a 32-bit memory
)

// ValueType is the binary code of a WebAssembly type.
type ValueType byte

// The value types that are accepted. v128 is not: SIMD is refused.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) valid() bool {
	switch t {
	case I32, I64, F32, F64, FuncRef, ExternRef:
		return true
	}
	return false
}

func (t ValueType) isRef() bool { return t == FuncRef || t == ExternRef }

// ExportKind is what an export names.
type ExportKind byte

// The kinds of exports.
const (
	ExportFunc   ExportKind = 0
	ExportTable  ExportKind = 1
	ExportMemory ExportKind = 2
	ExportGlobal ExportKind = 3
)

// FuncType is a function signature.
type FuncType struct{ Params, Results []ValueType }

// Is reports whether t has exactly these parameters and results.
func (t FuncType) Is(params, results []ValueType) bool {
	return string(bytesOf(t.Params)) == string(bytesOf(params)) && string(bytesOf(t.Results)) == string(bytesOf(results))
}

func bytesOf(ts []ValueType) []byte {
	out := make([]byte, len(ts))
	for i, t := range ts {
		out[i] = byte(t)
	}
	return out
}

// Import is an imported function; nothing else may be imported.
type Import struct {
	Module, Name string
	Type         uint32
}

// Export names something of the module.
type Export struct {
	Name  string
	Kind  ExportKind
	Index uint32
}

// Global is a global that the module defines.
type Global struct {
	Type    ValueType
	Mutable bool
}

// Limits are the sizes of a memory (in pages) or a table (in entries).
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// Table is a table that the module defines.
type Table struct {
	Type ValueType
	Limits
}

// Custom is a custom section.
type Custom struct {
	Name string
	Data []byte // aliases the parsed bytes
}

// Module is a parsed module. Its fields are for reading only.
type Module struct {
	Types    []FuncType
	Imports  []Import
	Funcs    []uint32 // type of each function the module defines
	Tables   []Table
	Memory   *Limits
	Globals  []Global
	Exports  []Export
	Customs  []Custom
	Stateful bool // it has instructions that change tables or drop segments, which no host can undo

	raw      []byte
	sections []section // all but custom ones, in file order
	bodies   []body
	uses     [numHelpers]bool
	squares  int // of loops, so far
	segments struct{ elems, data uint32 }
}

// FuncTypeOf returns the type of the function with this index, imports first, and whether the module itself defines it.
func (m *Module) FuncTypeOf(index uint32) (t FuncType, defined bool) {
	if int(index) < len(m.Imports) {
		return m.Types[m.Imports[index].Type], false
	}
	return m.Types[m.Funcs[int(index)-len(m.Imports)]], true
}

// Export returns the export of this name and kind, or nil.
func (m *Module) Export(name string, kind ExportKind) *Export {
	for i := range m.Exports {
		if m.Exports[i].Name == name && m.Exports[i].Kind == kind {
			return &m.Exports[i]
		}
	}
	return nil
}

// Core returns the module without its custom sections, byte for byte: what the engine validates. Custom sections have
// formats of their own whose counts nobody has bounded.
func (m *Module) Core() []byte {
	out := append(make([]byte, 0, len(m.raw)), m.raw[:8]...)
	for _, s := range m.sections {
		out = appendSection(out, s.id, m.raw[s.start:s.end])
	}
	return out
}

func (m *Module) numFuncs() uint32 { return uint32(len(m.Imports) + len(m.Funcs)) }

func refuse(off int, format string, args ...any) error {
	return fmt.Errorf("%w: offset %#x: %s", ErrRefused, off, fmt.Sprintf(format, args...))
}
