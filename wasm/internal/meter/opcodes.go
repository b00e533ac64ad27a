package meter

// Opcodes that the parser or the rewriter name.
const (
	opUnreachable = 0x00
	opBlock       = 0x02
	opLoop        = 0x03
	opIf          = 0x04
	opElse        = 0x05
	opEnd         = 0x0b
	opCall        = 0x10
	opLocalGet    = 0x20
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opMemorySize  = 0x3f
	opMemoryGrow  = 0x40
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opI64LtS      = 0x53
	opI64LeU      = 0x58
	opI64Add      = 0x7c
	opI64Sub      = 0x7d
	opI64Shl      = 0x86
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad
	opRefNull     = 0xd0
	opRefFunc     = 0xd2
	opMisc        = 0xfc

	blockEmpty = 0x40
)

// immediate says what follows an opcode.
type immediate byte

const (
	immRefused immediate = iota // not an opcode this parser knows
	immNone
	immBlock
	immLabel
	immLabels
	immFunc
	immIndirect
	immTypes
	immLocal
	immGlobal
	immTable
	immMemArg
	immMemory
	immI32
	immI64
	immF32
	immF64
	immRefType
	immMisc
)

// immediateOf knows the single-byte opcodes of WebAssembly 2.0 (section 5.4), SIMD left out. All others, among them
// tail calls (0x12, 0x13), exceptions (0x06-0x0a, 0x18, 0x19, 0x1f), SIMD (0xfd) and atomics (0xfe), are refused.
func immediateOf(op byte) immediate {
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		return immBlock
	case op == 0x0c || op == 0x0d: // br, br_if
		return immLabel
	case op == 0x0e: // br_table
		return immLabels
	case op == opCall:
		return immFunc
	case op == 0x11: // call_indirect
		return immIndirect
	case op == 0x1c: // select with types
		return immTypes
	case 0x20 <= op && op <= 0x22: // local.get, local.set, local.tee
		return immLocal
	case op == opGlobalGet || op == opGlobalSet:
		return immGlobal
	case op == 0x25 || op == 0x26: // table.get, table.set
		return immTable
	case 0x28 <= op && op <= 0x3e: // loads and stores
		return immMemArg
	case op == opMemorySize || op == opMemoryGrow:
		return immMemory
	case op == opI32Const:
		return immI32
	case op == opI64Const:
		return immI64
	case op == opF32Const:
		return immF32
	case op == opF64Const:
		return immF64
	case op == opRefNull:
		return immRefType
	case op == opRefFunc:
		return immFunc
	case op == opMisc:
		return immMisc
	case op <= 0x01, op == opElse, op == opEnd, op == 0x0f, op == 0x1a, op == 0x1b, // unreachable, nop, return, drop, select
		0x45 <= op && op <= 0xc4, // comparisons, arithmetic, conversions, sign extension
		op == 0xd1:               // ref.is_null
		return immNone
	}
	return immRefused
}

// Second bytes of opMisc.
const (
	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17
	opTableSet     = 0x26
)
