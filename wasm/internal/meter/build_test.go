package meter_test

import (
	"encoding/binary"
	"strings"
)

// module is a binary of one function run(i32) -> i64 with a memory of one page, for what text cannot say.
type module struct {
	locals   uint64 // of type i64
	body     string // instructions, final end included
	maxPages uint64
}

func (m module) encode() []byte {
	uv := func(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
	section := func(id byte, content string) string { return string(id) + uv(uint64(len(content))) + content }
	fn := "\x00" + m.body
	if m.locals > 0 {
		fn = "\x01" + uv(m.locals) + "\x7e" + m.body
	}
	memory := "\x01\x00\x01"
	if m.maxPages > 0 {
		memory = "\x01\x01\x01" + uv(m.maxPages)
	}
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x01\x60\x01\x7f\x01\x7e") +
		section(3, "\x01\x00") +
		section(5, memory) +
		section(7, "\x02\x03run\x00\x00\x06memory\x02\x00") +
		section(10, "\x01"+uv(uint64(len(fn)))+fn))
}

func s32(n int32) string {
	var out []byte
	for v := int64(n); ; v >>= 7 {
		if v >= -64 && v < 64 {
			return string(append(out, byte(v&0x7f)))
		}
		out = append(out, byte(v&0x7f|0x80))
	}
}

func nop() string { return "\x42\x00\x0b" } // i64.const 0, end

// countdown loops as often as its parameter says.
func countdown() string {
	return "\x03\x40\x20\x00\x41\x01\x6b\x22\x00\x0d\x00\x0b" + nop()
}

// bulk runs a memory operation with three operands on n bytes: six instructions.
func bulk(op byte, memories []byte, n int32) string {
	return "\x41\x00\x41\x07\x41" + s32(n) + "\xfc" + string(op) + string(memories) + nop()
}

// grow grows the memory: five instructions.
func grow(pages int32) string { return "\x41" + s32(pages) + "\x40\x00\x1a" + nop() }

// manyFunctions is a module of n functions that do nothing, four bytes each in all.
func manyFunctions(n int) []byte {
	uv := func(n int) string { return string(binary.AppendUvarint(nil, uint64(n))) }
	section := func(id byte, content string) string { return string(id) + uv(len(content)) + content }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x01\x60\x00\x00") +
		section(3, uv(n)+strings.Repeat("\x00", n)) +
		section(10, uv(n)+strings.Repeat("\x02\x00\x0b", n)))
}
