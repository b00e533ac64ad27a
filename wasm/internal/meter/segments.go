package meter

// constant skips a constant expression: one constant and end. Globals cannot be read in it, since only imported ones
// may be (WebAssembly 2.0, section 3.3.10.2) and none can be imported.
func (m *Module) constant(r *reader) {
	switch op := r.byte(); {
	case r.err != nil:
		return
	case op == opI32Const:
		r.signed(32)
	case op == opI64Const:
		r.signed(64)
	case op == opF32Const:
		r.skip(4)
	case op == opF64Const:
		r.skip(8)
	case op == opRefNull:
		r.refType()
	case op == opRefFunc:
		r.below("function", m.numFuncs())
	default:
		r.pos--
		r.fail("opcode %#x is not supported in a constant expression", op)
	}
	if end := r.byte(); r.err == nil && end != opEnd {
		r.fail("constant expression of more than one instruction")
	}
}

// elements skips the element section (section 5.5.12): the low three bits of a segment's flags say what follows.
func (m *Module) elements(r *reader) {
	const passiveOrDeclared, explicit, expressions = 1, 2, 4
	n := r.count(2)
	m.segments.elems = uint32(n)
	for range n {
		flags := r.u32()
		if r.err == nil && flags > 7 {
			r.fail("element segment of kind %d is not supported", flags)
		}
		if r.err != nil {
			return
		}
		if flags&passiveOrDeclared == 0 {
			if flags&explicit != 0 {
				r.below("table", uint32(len(m.Tables)))
			} else if len(m.Tables) == 0 {
				r.fail("element segment without a table")
			}
			m.constant(r)
		}
		if flags&(passiveOrDeclared|explicit) != 0 {
			if flags&expressions != 0 {
				r.refType()
			} else if kind := r.byte(); r.err == nil && kind != 0 {
				r.fail("element kind %#x is not supported", kind)
			}
		}
		for range r.count(1) {
			if flags&expressions != 0 {
				m.constant(r)
			} else {
				r.below("function", m.numFuncs())
			}
			if r.err != nil {
				return
			}
		}
	}
}

// data skips the data section (section 5.5.14).
func (m *Module) data(r *reader) {
	for range r.count(2) {
		switch flags := r.u32(); {
		case r.err != nil:
			return
		case flags > 2:
			r.fail("data segment of kind %d is not supported", flags)
			return
		case flags == 2:
			r.below("memory", m.numMemories())
			m.constant(r)
		case flags == 0:
			m.constant(r)
		}
		r.bytes(r.u32())
	}
}
