package meter

// Section ids of the binary format (WebAssembly 2.0, section 5.5.2).
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

type section struct {
	id         byte
	start, end int // of the content
}

// rank is the place of a section in a module; the data count stands before the code. 0 means unknown.
func rank(id byte) int {
	switch {
	case id == secDataCount:
		return 2*secElement + 1
	case secType <= id && id <= secData:
		return 2 * int(id)
	}
	return 0
}

// Parse reads a module. The result keeps wasm, which must not change any more.
func Parse(wasm []byte) (*Module, error) {
	if len(wasm) > MaxModuleBytes {
		return nil, refuse(0, "%d bytes, at most %d are allowed", len(wasm), MaxModuleBytes)
	}
	if len(wasm) < 8 || string(wasm[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, refuse(0, "not a WebAssembly binary of version 1")
	}
	m := &Module{raw: wasm}
	r := &reader{b: wasm, pos: 8, end: len(wasm)}
	last := 0
	for r.left() > 0 && r.err == nil {
		at := r.pos
		id := r.byte()
		size := r.u32()
		if r.err == nil && int64(size) > int64(r.left()) {
			r.fail("section %d of %d bytes, %d left", id, size, r.left())
		}
		if r.err != nil {
			break
		}
		s := section{id, r.pos, r.pos + int(size)}
		if id != secCustom {
			k := rank(id)
			if k == 0 || k <= last {
				return nil, refuse(at, "section %d is unknown, repeated or out of order", id)
			}
			last = k
			m.sections = append(m.sections, s)
		}
		sr := &reader{b: wasm, pos: s.start, end: s.end}
		m.section(id, sr)
		if sr.err == nil && sr.left() != 0 {
			sr.fail("%d bytes are left over in section %d", sr.left(), id)
		}
		if sr.err != nil {
			return nil, sr.err
		}
		r.pos = s.end
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.bodies) != len(m.Funcs) {
		return nil, refuse(len(wasm), "%d functions and %d bodies", len(m.Funcs), len(m.bodies))
	}
	return m, nil
}

func (m *Module) section(id byte, r *reader) {
	switch id {
	case secCustom:
		name := r.name()
		m.Customs = append(m.Customs, Custom{name, r.bytes(uint32(r.left()))})
	case secType:
		m.types(r)
	case secImport:
		m.imports(r)
	case secFunction:
		for range r.count(1) {
			m.Funcs = append(m.Funcs, r.below("type", uint32(len(m.Types))))
		}
	case secTable:
		m.tables(r)
	case secMemory:
		m.memory(r)
	case secGlobal:
		m.globals(r)
	case secExport:
		m.exports(r)
	case secStart:
		r.fail("a start function is not allowed")
	case secElement:
		m.elements(r)
	case secDataCount:
		m.segments.data = r.u32()
	case secCode:
		m.code(r)
	case secData:
		m.data(r)
	}
}

func (m *Module) types(r *reader) {
	for range r.count(3) {
		if form := r.byte(); r.err == nil && form != 0x60 {
			r.fail("type of form %#x is not supported", form)
		}
		t := FuncType{Params: valueTypes(r)}
		t.Results = valueTypes(r)
		if r.err != nil {
			return
		}
		m.Types = append(m.Types, t)
	}
}

func valueTypes(r *reader) []ValueType {
	n := r.count(1)
	if n > maxTypeArity {
		r.fail("%d parameters or results, at most %d are allowed", n, maxTypeArity)
		return nil
	}
	out := make([]ValueType, n)
	for i := range out {
		out[i] = r.valueType()
	}
	return out
}

func (m *Module) imports(r *reader) {
	for range r.count(4) {
		imp := Import{Module: r.name(), Name: r.name()}
		switch kind := r.byte(); {
		case r.err != nil:
			return
		case kind != 0:
			r.fail("import %.64q.%.64q is not a function", imp.Module, imp.Name)
			return
		}
		imp.Type = r.below("type", uint32(len(m.Types)))
		m.Imports = append(m.Imports, imp)
	}
}

func (m *Module) tables(r *reader) {
	n := r.count(3)
	if n > MaxTables {
		r.fail("%d tables, at most %d are allowed", n, MaxTables)
	}
	for range n {
		t := Table{Type: r.refType(), Limits: r.limits()}
		if r.err != nil {
			return
		}
		if t.Min > MaxTableEntries {
			r.fail("table of %d entries, at most %d are allowed", t.Min, MaxTableEntries)
		}
		m.Tables = append(m.Tables, t)
	}
}

func (m *Module) memory(r *reader) {
	switch n := r.count(2); {
	case r.err != nil || n == 0:
		return
	case n > 1:
		r.fail("%d memories, at most 1 is allowed", n)
		return
	}
	l := r.limits()
	if r.err == nil && (l.Min > pageLimit || l.Max > pageLimit) {
		r.fail("memory above 4 GiB")
	}
	m.Memory = &l
}

func (m *Module) globals(r *reader) {
	for range r.count(4) {
		g := Global{Type: r.valueType()}
		mut := r.byte()
		if r.err == nil && mut > 1 {
			r.fail("global of mutability %#x", mut)
		}
		g.Mutable = mut == 1
		if m.constant(r); r.err != nil {
			return
		}
		m.Globals = append(m.Globals, g)
	}
}

func (m *Module) exports(r *reader) {
	seen := make(map[string]bool)
	for range r.count(3) {
		e := Export{Name: r.name(), Kind: ExportKind(r.byte())}
		switch e.Kind {
		case ExportFunc:
			e.Index = r.below("function", m.numFuncs())
		case ExportTable:
			e.Index = r.below("table", uint32(len(m.Tables)))
		case ExportMemory:
			e.Index = r.below("memory", m.numMemories())
		case ExportGlobal:
			e.Index = r.below("global", uint32(len(m.Globals)))
		default:
			r.fail("export %.64q of kind %d is not supported", e.Name, e.Kind)
		}
		if r.err == nil && seen[e.Name] {
			r.fail("export %.64q is repeated", e.Name)
		}
		if r.err != nil {
			return
		}
		seen[e.Name] = true
		m.Exports = append(m.Exports, e)
	}
}

func (m *Module) numMemories() uint32 {
	if m.Memory == nil {
		return 0
	}
	return 1
}
