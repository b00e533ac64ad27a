package meter

// point is a place in a body where a charge goes.
type point struct {
	pos    int    // insert before this byte of the module
	helper helper // the function to call there, or
	count  int    // the instructions to pay for, where helper is none
}

// body is one function body.
type body struct {
	start  int // of the local declarations
	code   int // of the first instruction
	end    int
	locals int
	count  int // instructions, the final end included
	loops  int
	points []point
}

// block is an open block while a body is walked. A loop remembers its point and where its count began.
type block struct {
	isIf  bool
	point int // index into points; -1 for all but loops
	since int
}

func (m *Module) code(r *reader) {
	n := r.count(2)
	if r.err == nil && n != len(m.Funcs) {
		r.fail("%d functions and %d bodies", len(m.Funcs), n)
	}
	for i := range n {
		size := r.u32()
		start := r.pos
		r.bytes(size)
		if r.err != nil {
			return
		}
		br := &reader{b: r.b, pos: start, end: r.pos}
		b := body{start: start, end: r.pos}
		b.locals = locals(br)
		b.code = br.pos
		params := len(m.Types[m.Funcs[i]].Params)
		m.walk(br, &b, uint32(params+b.locals))
		if br.err != nil {
			r.err = br.err
			return
		}
		if m.squares += b.loops * b.loops; m.squares > MaxLoopSquares {
			r.fail("too many loops: %d in one function", b.loops)
			return
		}
		m.bodies = append(m.bodies, b)
	}
}

func locals(r *reader) int {
	total := 0
	for range r.count(2) {
		n := r.u32()
		r.valueType()
		if r.err != nil {
			return 0
		}
		if int64(total)+int64(n) > MaxLocals {
			r.fail("more than %d locals", MaxLocals)
			return 0
		}
		total += int(n)
	}
	return total
}

// walk reads the instructions of a body to its final end, which must be the body's last byte, and notes where charges go.
func (m *Module) walk(r *reader, b *body, locals uint32) {
	open := []block{{point: -1}}
	for len(open) > 0 {
		at := r.pos
		op := r.byte()
		if r.err != nil {
			return
		}
		b.count++
		switch op {
		case opElse:
			if !open[len(open)-1].isIf {
				r.fail("else without if")
			}
		case opEnd:
			top := open[len(open)-1]
			open = open[:len(open)-1]
			if top.point >= 0 {
				b.points[top.point].count = b.count - top.since
			}
		}
		switch immediateOf(op) {
		case immBlock:
			m.blockType(r)
			if len(open) == MaxNesting {
				r.fail("blocks nested deeper than %d", MaxNesting)
			}
			next := block{isIf: op == opIf, point: -1}
			if op == opLoop {
				b.loops++
				next.point, next.since = len(b.points), b.count
				b.points = append(b.points, point{pos: r.pos})
			}
			open = append(open, next)
		default:
			m.immediate(r, b, at, op, uint32(len(open)), locals)
		}
		if r.err != nil {
			return
		}
	}
	if r.left() != 0 {
		r.fail("instructions after the end of the function")
	}
}

// blockType reads no type, one value type, or the index of a function type (section 5.4.1).
func (m *Module) blockType(r *reader) {
	if r.left() == 0 {
		r.fail("unexpected end")
		return
	}
	if b := r.b[r.pos]; b&0xc0 == 0x40 {
		r.pos++
		if b != blockEmpty && !ValueType(b).valid() {
			r.fail("block type %#x is not supported", b)
		}
		return
	}
	if i := r.signed(33); r.err == nil && (i < 0 || i >= int64(len(m.Types))) {
		r.fail("block type %d of %d", i, len(m.Types))
	}
}

func (m *Module) immediate(r *reader, b *body, at int, op byte, depth, locals uint32) {
	switch immediateOf(op) {
	case immNone:
	case immLabel:
		r.below("label", depth)
	case immLabels:
		for range r.count(1) {
			if r.below("label", depth); r.err != nil {
				return
			}
		}
		r.below("label", depth)
	case immFunc:
		r.below("function", m.numFuncs())
	case immIndirect:
		r.below("type", uint32(len(m.Types)))
		r.below("table", uint32(len(m.Tables)))
	case immTypes:
		for range r.count(1) {
			r.valueType()
		}
	case immLocal:
		r.below("local", locals)
	case immGlobal:
		r.below("global", uint32(len(m.Globals)))
	case immTable:
		r.below("table", uint32(len(m.Tables)))
		m.Stateful = m.Stateful || op == opTableSet
	case immMemArg:
		if align := r.u32(); r.err == nil && align > 3 {
			r.fail("alignment %d is not supported", align)
		}
		r.u32()
		r.memories(m, 0)
	case immMemory:
		r.memories(m, 1)
		if op == opMemoryGrow {
			m.charge(b, at, helperGrow)
		}
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immF32:
		r.skip(4)
	case immF64:
		r.skip(8)
	case immRefType:
		r.refType()
	case immMisc:
		m.misc(r, b, at)
	default:
		r.pos--
		r.fail("opcode %#x is not supported", op)
	}
}

// memories reads n memory indices, all of which must be 0, and checks that there is a memory.
func (r *reader) memories(m *Module, n int) {
	for range n {
		if i := r.byte(); r.err == nil && i != 0 {
			r.fail("memory %d", i)
		}
	}
	if r.err == nil && m.Memory == nil {
		r.fail("memory instruction without a memory")
	}
}

// misc reads what follows the prefix 0xfc. Its second part is one byte for every opcode that exists; longer spellings
// of the same number are refused.
func (m *Module) misc(r *reader, b *body, at int) {
	tables := uint32(len(m.Tables))
	switch sub := r.byte(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncations
	case miscMemoryInit:
		r.below("data segment", m.segments.data)
		r.memories(m, 1)
		m.charge(b, at, helperMemory)
	case miscDataDrop:
		r.below("data segment", m.segments.data)
		m.Stateful = true
	case miscMemoryCopy:
		r.memories(m, 2)
		m.charge(b, at, helperMemory)
	case miscMemoryFill:
		r.memories(m, 1)
		m.charge(b, at, helperMemory)
	case miscTableInit:
		r.below("element segment", m.segments.elems)
		r.below("table", tables)
		m.charge(b, at, helperTable)
		m.Stateful = true
	case miscElemDrop:
		r.below("element segment", m.segments.elems)
		m.Stateful = true
	case miscTableCopy:
		r.below("table", tables)
		r.below("table", tables)
		m.charge(b, at, helperTable)
		m.Stateful = true
	case miscTableGrow, miscTableFill:
		r.below("table", tables)
		m.charge(b, at, helperTable)
		m.Stateful = true
	case miscTableSize:
		r.below("table", tables)
	default:
		r.fail("opcode %#x %#x is not supported", opMisc, sub)
	}
}

func (m *Module) charge(b *body, at int, h helper) {
	b.points = append(b.points, point{pos: at, helper: h})
	m.uses[h] = true
}
