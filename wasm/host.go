package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	hostModule = "policy_v1"
	fnLog      = "log"

	hostCallCharge = 256 // units of fuel for leaving the module, beside what the call does
	maxLogBytes    = 512
	linesDecision  = 4
	linesSecond    = 20
)

// Errors that host functions panic with; the engine turns them into traps.
var (
	errHostFuel    = errors.New("out of fuel in a host function")
	errHostPointer = errors.New("bad pointer passed to a host function")
)

// registry finds the instance behind a call from a module into the host.
type registry struct {
	mu        sync.RWMutex
	instances map[api.Module]*instance
}

func newRegistry() *registry { return &registry{instances: make(map[api.Module]*instance)} }

func (r *registry) add(in *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instances[in.module] = in
}

func (r *registry) remove(in *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.instances, in.module)
}

func (r *registry) find(m api.Module) *instance {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.instances[m]
}

// spend charges an instance for work that the host does for it. While the module runs nobody else touches its fuel.
func (in *instance) spend(units int64) {
	left := int64(in.fuel.Get()) - units
	in.fuel.Set(uint64(left))
	if left < 0 {
		panic(errHostFuel)
	}
}

// hostCall is a host function: it is given the caller, the parameters and the place of the results.
type hostCall func(in *instance, stack []uint64)

func (r *registry) wrap(f hostCall) api.GoModuleFunction {
	return api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
		in := r.find(m)
		in.spend(hostCallCharge)
		f(in, stack)
	})
}

// instantiateHost offers policy_v1 to the engine.
func instantiateHost(ctx context.Context, engine wazero.Runtime, live *registry) error {
	b := engine.NewHostModuleBuilder(hostModule)
	b.NewFunctionBuilder().
		WithGoModuleFunction(live.wrap(logLine), []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, nil).
		Export(fnLog)
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("host module %s: %w", hostModule, err)
	}
	return nil
}

func logLine(in *instance, stack []uint64) {
	ptr, n := uint32(stack[0]), uint32(stack[1])
	text, ok := in.memory.Read(ptr, n)
	if !ok {
		panic(errHostPointer)
	}
	if in.lines++; in.lines <= linesDecision && in.guest.log.take() {
		line := sanitise(text[:min(len(text), maxLogBytes)], maxLogBytes)
		in.guest.log.to.LogAttrs(context.Background(), slog.LevelInfo, "policy log", slog.String("text", line))
	}
}

// limitedLog bounds the lines of one policy in each second.
type limitedLog struct {
	to  *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	since time.Time
	lines int
}

func newLimitedLog(to *slog.Logger, now func() time.Time) *limitedLog {
	return &limitedLog{to: to, now: now}
}

func (l *limitedLog) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); l.lines == 0 || now.Sub(l.since) >= time.Second || now.Before(l.since) {
		l.since, l.lines = now, 0
	}
	l.lines++
	return l.lines <= linesSecond
}
