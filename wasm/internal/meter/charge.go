package meter

import "fmt"

// helper is a function (i32) -> i32 that charges for an amount known only at run time and returns it unchanged, so that
// a call of it fits in front of any instruction whose last operand is that amount.
type helper int

const (
	helperNone   helper = iota
	helperMemory        // bytes / 8
	helperTable         // entries
	helperGrow          // pages, where the memory can grow by them
	numHelpers
)

func (w *rewriter) code() ([]byte, error) {
	m := w.m
	out := appendU32(nil, uint32(len(m.bodies))+w.added)
	var fn []byte
	for i := range m.bodies {
		b := &m.bodies[i]
		fn = append(fn[:0], m.raw[b.start:b.code]...)
		fn = w.charge(fn, int64(b.count)+int64(b.locals)+entryCharge)
		at := b.code
		for _, p := range b.points {
			fn = append(fn, m.raw[at:p.pos]...)
			at = p.pos
			if p.helper != helperNone {
				fn = appendU32(append(fn, opCall), w.helpers[p.helper])
			} else {
				fn = w.charge(fn, int64(p.count))
			}
		}
		fn = append(fn, m.raw[at:b.end]...)
		out = appendU32(out, uint32(len(fn)))
		if out = append(out, fn...); len(out) > MaxOutputBytes {
			return nil, fmt.Errorf("%w: more than %d bytes with charges", ErrRefused, MaxOutputBytes)
		}
	}
	for h := range numHelpers {
		if m.uses[h] {
			fn = w.helper(append(fn[:0], 0), h)
			out = appendU32(out, uint32(len(fn)))
			out = append(out, fn...)
		}
	}
	return out, nil
}

// charge takes n units and traps below zero. It leaves the operand stack alone, so it may stand where a loop's
// parameters lie on it. n is at most the size of a module, and fuel is never below minus one charge when one begins,
// so the subtraction cannot wrap.
func (w *rewriter) charge(dst []byte, n int64) []byte {
	dst = appendU32(append(dst, opGlobalGet), w.fuel)
	dst = appendS64(append(dst, opI64Const), n)
	return w.pay(dst)
}

// pay expects fuel and a price on the operand stack.
func (w *rewriter) pay(dst []byte) []byte {
	dst = append(dst, opI64Sub)
	dst = appendU32(append(dst, opGlobalSet), w.fuel)
	dst = appendU32(append(dst, opGlobalGet), w.fuel)
	return append(dst, opI64Const, 0, opI64LtS, opIf, blockEmpty, opUnreachable, opEnd)
}

// helper writes a helper's instructions. The amount is at most 2^32-1, its price below 2^49.
func (w *rewriter) helper(dst []byte, h helper) []byte {
	amount := []byte{opLocalGet, 0, opI64ExtendU}
	if h == helperGrow {
		// if memory.size + pages <= maximum: pay pages * 65536 / 8
		bound := w.o.MaxPages
		if w.m.Memory.HasMax && w.m.Memory.Max < bound {
			bound = w.m.Memory.Max
		}
		dst = append(dst, opMemorySize, 0, opI64ExtendU)
		dst = append(append(dst, amount...), opI64Add)
		dst = appendS64(append(dst, opI64Const), int64(bound))
		dst = append(dst, opI64LeU, opIf, blockEmpty)
		dst = appendU32(append(dst, opGlobalGet), w.fuel)
		dst = append(append(dst, amount...), opI64Const, 13, opI64Shl)
		dst = append(w.pay(dst), opEnd)
		dst = w.charge(dst, growCharge)
		return append(dst, opLocalGet, 0, opEnd)
	}
	dst = appendU32(append(dst, opGlobalGet), w.fuel)
	dst = append(dst, amount...)
	fixed := int64(tableCharge)
	if h == helperMemory {
		dst = append(dst, opI64Const, 3, opI64ShrU)
		fixed = memoryCharge
	}
	dst = appendS64(append(dst, opI64Const), fixed)
	dst = w.pay(append(dst, opI64Add))
	return append(dst, opLocalGet, 0, opEnd)
}
