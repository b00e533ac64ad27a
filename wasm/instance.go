package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const (
	fuelExport     = "policy_fuel"
	reservedPrefix = "keyhole."
	globalPrefix   = reservedPrefix + "global."
	minBufferBytes = 4096
)

var errNoPrincipal = errors.New("request without a principal")

// instance is one live copy of a policy. One decision uses it at a time.
type instance struct {
	guest  *guest
	module api.Module
	memory api.Memory
	fuel   api.MutableGlobal
	buffer api.Function
	eval   api.Function
	detail api.Function // nil where not exported

	request   []byte    // scratch for the encoders
	stack     [2]uint64 // parameters and results of calls
	bufferPtr uint32
	bufferLen uint32 // what was asked for; 0 before the first policy_buffer
	firstSize uint32 // of the memory, when the instance was ready
	snapshot  *snapshot
	lines     int // logged in this decision
}

// newInstance starts a copy of the policy: start, version, data, all on one budget of fuel.
func (g *guest) newInstance() (_ *instance, err error) {
	ctx := context.Background()
	// No start functions of the engine's choosing: _initialize runs below, with fuel.
	mod, err := g.engine.InstantiateModule(ctx, g.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(noRandom{}))
	if err != nil {
		return nil, fmt.Errorf("%w: instantiating: %w", ErrTrap, err)
	}
	in := &instance{guest: g, module: mod, memory: mod.Memory()}
	if g.imports {
		g.live.add(in)
	}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	var ok bool
	if in.fuel, ok = mod.ExportedGlobal(fuelExport).(api.MutableGlobal); !ok {
		return nil, errors.New("the fuel global is missing")
	}
	in.buffer = mod.ExportedFunction(fnBuffer)
	in.eval = mod.ExportedFunction(fnEval)
	in.detail = mod.ExportedFunction(fnDetail)
	if err := in.start(); err != nil {
		return nil, err
	}
	if g.isolation == Reset {
		in.snapshot = takeSnapshot(in)
	}
	in.firstSize = in.memory.Size()
	return in, nil
}

// noRandom takes the place of a generator that the engine would seed for each instance and nobody could ask: what a module
// is told of randomness is in wasi.go.
type noRandom struct{}

// Read implements io.Reader.
func (noRandom) Read([]byte) (int, error) { return 0, io.EOF }

func (in *instance) start() error {
	in.refuel(startFuelFactor * in.guest.fuel)
	if f := in.module.ExportedFunction(fnInitialize); f != nil {
		if err := in.call(f, fnInitialize); err != nil {
			return err
		}
	}
	if err := in.call(in.module.ExportedFunction(fnVersion), fnVersion); err != nil {
		return err
	}
	if v := uint32(in.stack[0]); v != abiVersion {
		return fmt.Errorf("%w: %s returned %d, this host speaks %d", ErrOutput, fnVersion, v, abiVersion)
	}
	if len(in.guest.data) == 0 {
		return in.write(nil)
	}
	if err := in.write(in.guest.data); err != nil {
		return err
	}
	in.stack = [2]uint64{uint64(in.bufferPtr), uint64(len(in.guest.data))}
	if err := in.call(in.module.ExportedFunction(fnInit), fnInit); err != nil {
		return err
	}
	if code := uint32(in.stack[0]); code != 0 {
		return fmt.Errorf("%w: %s refused its data with %d", ErrOutput, fnInit, code)
	}
	// The guest may since have used the buffer of its data for itself.
	in.bufferLen = 0
	return in.write(nil)
}

func (in *instance) refuel(units int64) {
	in.fuel.Set(uint64(units))
	in.lines = 0
}

// call runs an exported function on in.stack. The context carries nothing: what a policy does must not depend on it.
func (in *instance) call(f api.Function, name string) error {
	if err := f.CallWithStack(context.Background(), in.stack[:]); err != nil {
		if int64(in.fuel.Get()) < 0 {
			return fmt.Errorf("%w in %s", ErrFuel, name)
		}
		return fmt.Errorf("%w in %s: %w", ErrTrap, name, err)
	}
	return nil
}

// write puts data into the guest's buffer, asking for one where there is none or it is too small.
func (in *instance) write(data []byte) error {
	if n := uint32(len(data)); n > in.bufferLen || in.bufferLen == 0 {
		n = max(n, minBufferBytes)
		in.bufferLen = 0
		in.stack[0] = uint64(n)
		if err := in.call(in.buffer, fnBuffer); err != nil {
			return err
		}
		ptr := uint32(in.stack[0])
		if ptr == 0 {
			return fmt.Errorf("%w: %s refused %d bytes", ErrOutput, fnBuffer, n)
		}
		if uint64(ptr)+uint64(n) > uint64(in.memory.Size()) {
			return fmt.Errorf("%w: %s returned %d bytes at %#x, outside the memory", ErrOutput, fnBuffer, n, ptr)
		}
		in.bufferPtr, in.bufferLen = ptr, n
	}
	if !in.memory.Write(in.bufferPtr, data) {
		return fmt.Errorf("%w: the buffer is outside the memory", ErrOutput)
	}
	return nil
}

// decide runs one decision on one budget of fuel.
func (in *instance) decide(req *policy.Request) (policy.Decision, error) {
	g := in.guest
	var ok bool
	if g.encoding == encodingJSON {
		in.request, ok = g.inputs.appendJSON(in.request, req)
	} else {
		in.request, ok = g.inputs.appendFlat1(in.request, req)
	}
	if !ok {
		return policy.Decision{}, fmt.Errorf("%w: more than %d bytes", ErrRequestTooLarge, maxRequestBytes)
	}
	in.refuel(g.fuel)
	if err := in.write(in.request); err != nil {
		return policy.Decision{}, err
	}
	in.stack = [2]uint64{uint64(in.bufferPtr), uint64(len(in.request))}
	if err := in.call(in.eval, fnEval); err != nil {
		return policy.Decision{}, err
	}
	r, err := decodeResult(in.stack[0])
	if err != nil {
		return policy.Decision{}, err
	}
	d := policy.Decision{Effect: r.effect}
	if r.effect == policy.RequireApproval {
		d.Obligations.N = defaultVotes
	}
	if !r.detail {
		d.Rule = g.ruleName(r.code)
		return d, nil
	}
	if err := in.readDetail(&d, r.code); err != nil {
		return policy.Decision{}, err
	}
	return d, nil
}

func (in *instance) readDetail(d *policy.Decision, code uint16) error {
	if in.detail == nil {
		return fmt.Errorf("%w: a detail is announced, but %s is not exported", ErrOutput, fnDetail)
	}
	if err := in.call(in.detail, fnDetail); err != nil {
		return err
	}
	ptr, n := uint32(in.stack[0]>>32), uint32(in.stack[0])
	if n > maxDetailBytes {
		return fmt.Errorf("%w: detail of %d bytes, at most %d are allowed", ErrOutput, n, maxDetailBytes)
	}
	data, ok := in.memory.Read(ptr, n)
	if !ok {
		return fmt.Errorf("%w: detail of %d bytes at %#x, outside the memory", ErrOutput, n, ptr)
	}
	doc, err := parseDetail(data)
	if err != nil {
		return err
	}
	d.Reason = doc.reason
	if d.Rule = in.guest.name + "/" + doc.rule; doc.rule == "" {
		d.Rule = in.guest.ruleName(code)
	}
	if doc.obligations != nil {
		if d.Effect != policy.RequireApproval {
			return fmt.Errorf("%w: obligations with the effect %s", ErrOutput, d.Effect)
		}
		d.Obligations = *doc.obligations
	}
	return nil
}

// reusable prepares the instance for another decision; false means that it must be discarded.
func (in *instance) reusable() bool {
	size := in.memory.Size()
	switch in.guest.isolation {
	case Fresh:
		return false
	case Reset:
		// Memory cannot shrink, so a grown one cannot be restored.
		if size != in.firstSize {
			return false
		}
		in.snapshot.restore(in)
		return true
	}
	return uint64(size) <= 2*uint64(in.firstSize)
}

func (in *instance) close() {
	if in.guest.imports {
		in.guest.live.remove(in)
	}
	_ = in.module.Close(context.Background()) // it only marks the module closed; nothing in it can fail
}
