package wasm

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
)

const wasiModule = "wasi_snapshot_preview1"

// Error numbers of WASI preview 1.
const (
	wasiOK    = 0
	wasiBadf  = 8
	wasiNosys = 52
)

var errProcExit = errors.New("proc_exit called")

// wasiFunc is a stub: deterministic, and without any access to anything.
type wasiFunc struct {
	name            string
	params, results []meter.ValueType
	call            hostCall
}

// wasiFuncs are the functions that the start code of C, Rust, AssemblyScript and Go imports.
func wasiFuncs() []wasiFunc {
	const i32, i64 = meter.I32, meter.I64
	errno := []meter.ValueType{i32}
	f := func(name string, call hostCall, params ...meter.ValueType) wasiFunc {
		return wasiFunc{name, params, errno, call}
	}
	always := func(code uint64) hostCall { return func(_ *instance, s []uint64) { s[0] = code } }
	exit := func(*instance, []uint64) { panic(errProcExit) }
	return []wasiFunc{
		f("args_get", always(wasiOK), i32, i32),
		f("args_sizes_get", wasiZeroPair, i32, i32),
		f("clock_res_get", wasiClockRes, i32, i32),
		f("clock_time_get", wasiClockTime, i32, i64, i32),
		f("environ_get", always(wasiOK), i32, i32),
		f("environ_sizes_get", wasiZeroPair, i32, i32),
		f("fd_close", always(wasiBadf), i32),
		f("fd_fdstat_get", always(wasiBadf), i32, i32),
		f("fd_fdstat_set_flags", always(wasiBadf), i32, i32),
		f("fd_prestat_dir_name", always(wasiBadf), i32, i32, i32),
		f("fd_prestat_get", always(wasiBadf), i32, i32),
		f("fd_read", always(wasiBadf), i32, i32, i32, i32),
		f("fd_seek", always(wasiBadf), i32, i64, i32, i32),
		f("fd_write", wasiWrite, i32, i32, i32, i32),
		f("poll_oneoff", always(wasiNosys), i32, i32, i32, i32),
		{"proc_exit", []meter.ValueType{i32}, nil, exit},
		f("random_get", wasiRandom, i32, i32),
		f("sched_yield", always(wasiOK)),
	}
}

func findWASI(name string) (wasiFunc, bool) {
	for _, f := range wasiFuncs() {
		if f.name == name {
			return f, true
		}
	}
	return wasiFunc{}, false
}

// instantiateWASI offers the stubs to the engine.
func instantiateWASI(ctx context.Context, engine wazero.Runtime, live *registry) error {
	b := engine.NewHostModuleBuilder(wasiModule)
	for _, f := range wasiFuncs() {
		b.NewFunctionBuilder().WithGoModuleFunction(live.wrap(f.call), apiTypes(f.params), apiTypes(f.results)).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("host module %s: %w", wasiModule, err)
	}
	return nil
}

func apiTypes(ts []meter.ValueType) []api.ValueType {
	out := make([]api.ValueType, len(ts))
	for i, t := range ts {
		out[i] = api.ValueType(t)
	}
	return out
}

func (in *instance) mustWrite32(ptr uint64, v uint32) {
	if !in.memory.WriteUint32Le(uint32(ptr), v) {
		panic(errHostPointer)
	}
}

func (in *instance) mustWrite64(ptr, v uint64) {
	if !in.memory.WriteUint64Le(uint32(ptr), v) {
		panic(errHostPointer)
	}
}

// wasiZeroPair answers "no strings, no bytes".
func wasiZeroPair(in *instance, s []uint64) {
	in.mustWrite32(s[0], 0)
	in.mustWrite32(s[1], 0)
	s[0] = wasiOK
}

func wasiClockRes(in *instance, s []uint64) {
	in.mustWrite64(s[1], 1)
	s[0] = wasiOK
}

// wasiClockTime stands at one nanosecond: the Go runtime aborts at zero.
func wasiClockTime(in *instance, s []uint64) {
	in.mustWrite64(s[2], 1)
	s[0] = wasiOK
}

// wasiWrite says that everything was written. The lengths are summed without reading what they describe.
func wasiWrite(in *instance, s []uint64) {
	ptr, n := uint32(s[1]), uint32(s[2])
	in.spend(int64(n))
	var total uint32
	for i := range n {
		size, ok := in.memory.ReadUint32Le(ptr + 8*i + 4)
		if !ok {
			panic(errHostPointer)
		}
		total += size
	}
	in.mustWrite32(s[3], total)
	s[0] = wasiOK
}

func wasiRandom(in *instance, s []uint64) {
	n := uint32(s[1])
	in.spend(int64(n >> 3))
	view, ok := in.memory.Read(uint32(s[0]), n)
	if !ok {
		panic(errHostPointer)
	}
	clear(view)
	s[0] = wasiOK
}
