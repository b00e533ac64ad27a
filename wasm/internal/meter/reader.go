package meter

import "unicode/utf8"

// reader walks the module's bytes up to end. The first failure stays in err and makes every later read return zero
// without moving, so that callers check once per loop.
type reader struct {
	b        []byte
	pos, end int
	err      error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = refuse(r.pos, format, args...)
	}
}

func (r *reader) left() int { return r.end - r.pos }

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= r.end {
		r.fail("unexpected end")
		return 0
	}
	b := r.b[r.pos]
	r.pos++
	return b
}

func (r *reader) skip(n int) {
	if r.err != nil {
		return
	}
	if n < 0 || n > r.left() {
		r.fail("%d bytes wanted, %d left", n, r.left())
		return
	}
	r.pos += n
}

// u32 reads an unsigned LEB128 of at most 5 bytes (WebAssembly 2.0, section 5.2.2).
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && b > 0x0f {
			r.fail("integer larger than 32 bits")
			return 0
		}
		v |= uint32(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

// signed skips a signed LEB128 of the given number of bits and returns its value.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if rest := bits - shift; rest < 7 {
			// The last byte: what lies above the value's bits must repeat the sign.
			if top := int8(b<<1) >> rest; b&0x80 != 0 || top != 0 && top != -1 {
				r.fail("integer larger than %d bits", bits)
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if shift < 57 && b&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// count reads the length of a vector whose elements take at least size bytes each. It is the bound that every
// allocation of the parser rests on.
func (r *reader) count(size int) int {
	n := r.u32()
	if r.err == nil && int64(n)*int64(size) > int64(r.left()) {
		r.fail("%d elements declared in %d bytes", n, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n uint32) []byte {
	start := r.pos
	if int64(n) > int64(r.left()) {
		r.fail("%d bytes declared, %d left", n, r.left())
	}
	if r.skip(int(n)); r.err != nil {
		return nil
	}
	return r.b[start:r.pos:r.pos]
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if r.err == nil && !utf8.Valid(b) {
		r.fail("name is not UTF-8")
		return ""
	}
	return string(b)
}

func (r *reader) valueType() ValueType {
	t := ValueType(r.byte())
	if r.err == nil && !t.valid() {
		r.pos--
		r.fail("value type %#x is not supported", byte(t))
	}
	return t
}

func (r *reader) refType() ValueType {
	t := r.valueType()
	if r.err == nil && !t.isRef() {
		r.fail("type %#x is not a reference type", byte(t))
	}
	return t
}

// below checks an index read from the module.
func (r *reader) below(what string, n uint32) uint32 {
	i := r.u32()
	if r.err == nil && i >= n {
		r.fail("%s %d of %d", what, i, n)
	}
	return i
}

// limits reads the sizes of a memory or table. Flags other than "has a maximum" (shared, 64-bit) are refused.
func (r *reader) limits() Limits {
	flags := r.byte()
	if r.err == nil && flags > 1 {
		r.fail("limits of kind %#x (shared or 64-bit) are not supported", flags)
	}
	l := Limits{Min: r.u32(), HasMax: flags == 1}
	if l.HasMax {
		l.Max = r.u32()
		if r.err == nil && l.Max < l.Min {
			r.fail("maximum %d is below the minimum %d", l.Max, l.Min)
		}
	}
	return l
}
