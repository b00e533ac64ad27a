// Package wasm runs policies: WebAssembly modules that decide requests. ABI.md beside this file is the contract with
// the modules.
//
// Its laws:
//   - Whatever a module does (trap, spin, recurse, allocate, lie in its answer), the answer is a denial in bounded time
//     and memory, with the fault recorded, and the next decision is not touched by it.
//   - The bound is fuel, which the module itself pays because it was rewritten to (package meter); no timer and no
//     context watches it.
//   - A module sees the inputs that its manifest declares and nothing else: no clock, randomness, environment or files.
//   - Machine code that was made earlier is believed, and so comes with the program or not at all (type Native); what is
//     missing or does not fit is compiled, and counted.
//   - Chains are immutable: another module, other data or another order is another Chain with another digest.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

var (
	// ErrLoad is wrapped by every error of New: the operator must fix the module, its manifest or its data.
	ErrLoad = errors.New("policy cannot be loaded")
	// ErrTrap means that a policy failed while it ran: its author must fix it.
	ErrTrap = errors.New("policy trapped")
	// ErrFuel means that a policy used up its fuel: its author must make it cheaper or declare more.
	ErrFuel = errors.New("policy ran out of fuel")
	// ErrOutput means that a policy answered something that ABI.md does not allow: its author must fix it.
	ErrOutput = errors.New("policy gave a bad answer")
	// ErrRequestTooLarge means that the inputs a policy declares exceed 64 KiB: the caller's token or labels are too big.
	ErrRequestTooLarge = errors.New("policy request too large")
	// ErrBusy means that no instance came free in time or before the context ended: the caller may try again.
	ErrBusy = fmt.Errorf("%w: no policy instance is free", policy.ErrUnavailable)
	// ErrClosed means that the Chain was closed: the caller must use the Chain that replaced it.
	ErrClosed = fmt.Errorf("%w: policy chain is closed", policy.ErrUnavailable)
)

// Isolation is how much of one decision another decision of the same policy could see, if the policy let it.
type Isolation string

// The isolations. The zero value means Pooled.
const (
	Pooled Isolation = "pooled" // instances serve many decisions
	Reset  Isolation = "reset"  // memory and globals are restored after each decision
	Fresh  Isolation = "fresh"  // each decision has an instance of its own
)

// Module is one policy of a chain.
type Module struct {
	Name string // in rules and errors; empty means the manifest's name
	Wasm []byte // New keeps no reference to it
	Data []byte // JSON for policy_init; empty means none
}

// Config describes a Chain.
type Config struct {
	Modules   []Module // in the order they run; at least one
	Isolation Isolation

	// MaxInstances bounds the live instances of each policy, and with them the memory:
	// policies * MaxInstances * (memory_pages * 64 KiB + about 1 MiB), and a call stack that is 10 KiB as a rule and that
	// recursion can drive to 50 MiB or 8 bytes for each unit of fuel. Decisions beyond it wait, at most a second. Zero
	// means twice GOMAXPROCS, but at least 4: more could not run at the same time.
	MaxInstances int

	// Native is machine code for the modules, where it was made before. Whatever is missing in it, or not for this
	// processor, is compiled, which costs milliseconds for each module; Stats counts both.
	Native Native

	Logger *slog.Logger     // what policies log, and which engine runs them; nil discards
	Now    func() time.Time // clock of the bound on what policies log; nil means time.Now
}

func (c Config) maxInstances() int {
	if c.MaxInstances > 0 {
		return c.MaxInstances
	}
	return max(4, 2*runtime.GOMAXPROCS(0))
}

func (c Config) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (c Config) now() func() time.Time {
	if c.Now != nil {
		return c.Now
	}
	return time.Now
}

// Chain is a loaded chain of policies. Its methods may be called concurrently.
type Chain struct {
	policies []*guest
	digest   string
	engine   wazero.Runtime
	stats    counters
	tally    tally // fixed

	mu     sync.RWMutex // held shared by every decision, so that Close waits for them
	closed bool
}

// New loads the modules, compiles them and starts one instance of each. Every error wraps ErrLoad and names the policy.
// It stops early where ctx ends, between its steps.
func New(ctx context.Context, cfg Config) (*Chain, error) {
	return newChain(ctx, cfg, &feed{native: usable(cfg.Native)})
}

func newChain(ctx context.Context, cfg Config, f *feed) (_ *Chain, err error) {
	if len(cfg.Modules) == 0 {
		return nil, fmt.Errorf("%w: a chain needs at least one policy", ErrLoad)
	}
	switch cfg.Isolation {
	case "":
		cfg.Isolation = Pooled
	case Pooled, Reset, Fresh:
	default:
		return nil, fmt.Errorf("%w: isolation %.40q is not one of pooled, reset, fresh", ErrLoad, cfg.Isolation)
	}
	if cfg.MaxInstances < 0 {
		return nil, fmt.Errorf("%w: MaxInstances is %d", ErrLoad, cfg.MaxInstances)
	}
	l := &loader{cfg: cfg, log: cfg.logger(), now: cfg.now(), live: newRegistry(), feed: f}
	// Whatever fails, compiled code is released; Close of a runtime also closes its modules.
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err = l.start(ctx); err != nil {
		return nil, err
	}
	c := &Chain{engine: l.engine}
	digest := newChainDigest()
	names := make(map[string]int)
	for i, m := range cfg.Modules {
		g, err := l.load(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%w: policy %d %q: %w", ErrLoad, i+1, g.name, err)
		}
		if first, dup := names[g.name]; dup {
			return nil, fmt.Errorf("%w: policies %d and %d are both named %q", ErrLoad, first, i+1, g.name)
		}
		names[g.name] = i + 1
		digest.add(m)
		c.policies = append(c.policies, g)
	}
	c.digest, c.tally = digest.sum(), l.tally
	c.tally.log(ctx, l.log)
	l.closeValidator()
	return c, nil
}

// Digest is the policy_digest of records and answers: "sha256:" and 64 hex digits over all modules and their data, in
// order.
func (c *Chain) Digest() string { return c.digest }

// Close waits for the decisions under way (each is bounded by fuel and by the wait for an instance) and frees compiled
// code and memory. Later decisions are denied with ErrClosed. Closing twice is harmless.
func (c *Chain) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if err := c.engine.Close(ctx); err != nil {
		return fmt.Errorf("closing the policy engine: %w", err)
	}
	return nil
}
