package meter

import "fmt"

// Charges that are not counted instructions. They stand for work outside the module's own code.
const (
	entryCharge  = 16 // setting up a frame
	memoryCharge = 16 // memory.copy, memory.fill, memory.init, beside length/8
	tableCharge  = 64 // table.copy, table.fill, table.init, table.grow, beside the number of entries
	growCharge   = 64 // memory.grow, beside the bytes/8
)

// Options say how Instrument rewrites.
type Options struct {
	FuelExport   string // name under which the appended mutable i64 global is exported; it starts at 0
	MaxPages     uint32 // memory maximum, lowered to this
	GlobalExport string // if set, every mutable global is exported as this prefix and its index
}

// Instrument returns m with charges added and custom sections removed. The caller must have had the engine validate
// Core before.
func (m *Module) Instrument(o Options) ([]byte, error) {
	if m.Memory != nil && m.Memory.Min > o.MaxPages {
		return nil, fmt.Errorf("%w: memory starts with %d pages, at most %d are allowed", ErrRefused, m.Memory.Min, o.MaxPages)
	}
	for i := range m.Exports {
		if m.Exports[i].Name == o.FuelExport {
			return nil, fmt.Errorf("%w: the export name %q belongs to the host", ErrRefused, o.FuelExport)
		}
	}
	w := &rewriter{m: m, o: o, fuel: uint32(len(m.Globals)), helperType: uint32(len(m.Types))}
	next := m.numFuncs()
	for h := range w.helpers {
		if m.uses[h] {
			w.helpers[h] = next
			next++
			w.added++
		}
	}
	return w.module()
}

type rewriter struct {
	m          *Module
	o          Options
	fuel       uint32 // index of the fuel global
	helperType uint32
	helpers    [numHelpers]uint32 // function indices, where used
	added      uint32             // helpers in use
}

func (w *rewriter) module() ([]byte, error) {
	m := w.m
	out := append(make([]byte, 0, 2*len(m.raw)), m.raw[:8]...)
	globals, exports := false, false
	for _, s := range m.sections {
		// The two sections that always exist afterwards, where the module had none.
		if !globals && rank(s.id) >= rank(secGlobal) {
			out, globals = appendSection(out, secGlobal, w.globals()), true
		}
		if !exports && rank(s.id) >= rank(secExport) {
			out, exports = appendSection(out, secExport, w.exports()), true
		}
		switch s.id {
		case secGlobal, secExport:
		case secType:
			out = appendSection(out, s.id, w.types(s))
		case secFunction:
			out = appendSection(out, s.id, w.functions(s))
		case secTable:
			out = appendSection(out, s.id, w.tables())
		case secMemory:
			out = appendSection(out, s.id, w.memory())
		case secCode:
			content, err := w.code()
			if err != nil {
				return nil, err
			}
			out = appendSection(out, s.id, content)
		default:
			out = appendSection(out, s.id, m.raw[s.start:s.end])
		}
	}
	if !globals {
		out = appendSection(out, secGlobal, w.globals())
	}
	if !exports {
		out = appendSection(out, secExport, w.exports())
	}
	if len(out) > MaxOutputBytes {
		return nil, fmt.Errorf("%w: %d bytes with charges, at most %d are allowed", ErrRefused, len(out), MaxOutputBytes)
	}
	return out, nil
}

// rest is a section's content after its leading count.
func (w *rewriter) rest(id byte) []byte {
	for _, s := range w.m.sections {
		if s.id == id {
			r := &reader{b: w.m.raw, pos: s.start, end: s.end}
			r.u32()
			return w.m.raw[r.pos:s.end]
		}
	}
	return nil
}

func (w *rewriter) types(s section) []byte {
	if w.added == 0 {
		return w.m.raw[s.start:s.end]
	}
	out := appendU32(nil, uint32(len(w.m.Types))+1)
	out = append(out, w.rest(s.id)...)
	return append(out, 0x60, 1, byte(I32), 1, byte(I32))
}

func (w *rewriter) functions(s section) []byte {
	out := appendU32(nil, uint32(len(w.m.Funcs))+w.added)
	out = append(out, w.rest(s.id)...)
	for range w.added {
		out = appendU32(out, w.helperType)
	}
	return out
}

func (w *rewriter) tables() []byte {
	out := appendU32(nil, uint32(len(w.m.Tables)))
	for _, t := range w.m.Tables {
		out = append(out, byte(t.Type))
		out = appendLimits(out, t.Limits, MaxTableEntries)
	}
	return out
}

func (w *rewriter) memory() []byte {
	if w.m.Memory == nil {
		return []byte{0}
	}
	return appendLimits([]byte{1}, *w.m.Memory, w.o.MaxPages)
}

func (w *rewriter) globals() []byte {
	out := appendU32(nil, w.fuel+1)
	out = append(out, w.rest(secGlobal)...)
	return append(out, byte(I64), 1, opI64Const, 0, opEnd)
}

func (w *rewriter) exports() []byte {
	add := []Export{{w.o.FuelExport, ExportGlobal, w.fuel}}
	if w.o.GlobalExport != "" {
		for i, g := range w.m.Globals {
			if g.Mutable {
				add = append(add, Export{fmt.Sprintf("%s%d", w.o.GlobalExport, i), ExportGlobal, uint32(i)})
			}
		}
	}
	out := appendU32(nil, uint32(len(w.m.Exports)+len(add)))
	out = append(out, w.rest(secExport)...)
	for _, e := range add {
		out = appendName(out, e.Name)
		out = append(out, byte(e.Kind))
		out = appendU32(out, e.Index)
	}
	return out
}
