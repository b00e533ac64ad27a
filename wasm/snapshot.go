package wasm

import (
	"strconv"

	"github.com/tetratelabs/wazero/api"
)

// snapshot is the state of a started instance that Reset restores: its memory and its mutable globals. Tables and
// dropped segments cannot be restored; modules that change them are refused under Reset.
type snapshot struct {
	memory    []byte
	globals   []api.MutableGlobal
	values    []uint64
	bufferPtr uint32
	bufferLen uint32
}

func takeSnapshot(in *instance) *snapshot {
	s := &snapshot{bufferPtr: in.bufferPtr, bufferLen: in.bufferLen}
	if view, ok := in.memory.Read(0, in.memory.Size()); ok {
		s.memory = append(s.memory, view...)
	}
	for _, i := range in.guest.mutable {
		if g, ok := in.module.ExportedGlobal(globalPrefix + strconv.Itoa(i)).(api.MutableGlobal); ok {
			s.globals = append(s.globals, g)
			s.values = append(s.values, g.Get())
		}
	}
	return s
}

func (s *snapshot) restore(in *instance) {
	in.memory.Write(0, s.memory)
	for i, g := range s.globals {
		g.Set(s.values[i])
	}
	in.bufferPtr, in.bufferLen = s.bufferPtr, s.bufferLen
}
