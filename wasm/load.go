package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
)

const maxDataBytes = 1 << 20

// loader turns the modules of a Config into guests.
type loader struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	live *registry

	engine    wazero.Runtime // runs the policies
	validator wazero.Runtime // only validates originals; the interpreter, since it need not make machine code; nil before the first

	feed   *feed
	tally  tally
	counts map[[sha256.Size]byte]*uint64 // which counter of tally a module went to; the engine compiles equal ones once
}

func (l *loader) start(ctx context.Context) (err error) {
	if l.feed.wanted() {
		if err := l.feed.install(wazero.NewCompilationCache()); err != nil {
			l.log.LogAttrs(ctx, slog.LevelWarn, "policies are compiled, although machine code came along", slog.Any("error", err))
		}
	}
	var interpreter bool
	l.engine, interpreter, err = newEngine(ctx, func(ctx context.Context) (wazero.Runtime, error) { return compiler(ctx, l.feed) }, l.log)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLoad, err)
	}
	l.tally.engine = "compiler"
	if interpreter {
		l.tally.engine, l.feed.cache = "interpreter", nil
	}
	l.counts = make(map[[sha256.Size]byte]*uint64)
	return nil
}

// provide offers the host modules that m imports to the engine, each once: most policies import none.
func (l *loader) provide(ctx context.Context, m *meter.Module) error {
	for _, imp := range m.Imports {
		if l.engine.Module(imp.Module) != nil {
			continue
		}
		instantiate := instantiateHost
		if imp.Module == wasiModule {
			instantiate = instantiateWASI
		}
		if err := instantiate(ctx, l.engine, l.live); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) closeValidator() {
	if l.validator != nil {
		_ = l.validator.Close(context.Background()) // it holds nothing but memory
	}
}

func (l *loader) close() {
	l.closeValidator()
	if l.engine != nil {
		_ = l.engine.Close(context.Background()) // the error that led here matters more
	}
}

// load checks, rewrites, compiles and starts one policy. The guest is returned with its name even on errors.
func (l *loader) load(ctx context.Context, mod Module) (*guest, error) {
	g := &guest{isolation: l.cfg.Isolation, engine: l.engine, live: l.live}
	g.name = mod.Name
	// A copy: the parsed module keeps slices of it, and the caller keeps the original.
	m, err := meter.Parse(slices.Clone(mod.Wasm))
	if err != nil {
		return g, err
	}
	if g.manifest, err = readManifest(m); err != nil {
		return g, err
	}
	if mod.Name != "" {
		g.name = mod.Name
		if err := checkPolicyName(mod.Name); err != nil {
			return g, err
		}
	}
	if err := l.check(g, m, mod.Data); err != nil {
		return g, err
	}
	if err := l.compile(ctx, g, m); err != nil {
		return g, err
	}
	if err := l.provide(ctx, m); err != nil {
		return g, err
	}
	g.data = slices.Clone(mod.Data)
	g.imports = len(m.Imports) > 0
	g.log = newLimitedLog(l.log.With("policy", g.name), l.now)
	g.nameRules()
	g.pool = newPool(g, l.cfg.maxInstances())
	if err := ctx.Err(); err != nil {
		return g, err
	}
	// A first instance shows at load what would otherwise deny every request.
	in, err := g.pool.get(context.WithoutCancel(ctx))
	if err != nil {
		return g, err
	}
	g.pool.put(in, true)
	return g, nil
}

func (l *loader) check(g *guest, m *meter.Module, data []byte) error {
	if len(data) > maxDataBytes {
		return fmt.Errorf("data of %d bytes, at most %d are allowed", len(data), maxDataBytes)
	}
	if len(data) > 0 && !json.Valid(data) {
		return errors.New("data is not JSON")
	}
	if err := checkImports(m, g.wasi); err != nil {
		return err
	}
	if err := checkExports(m, len(data) > 0); err != nil {
		return err
	}
	if g.isolation == Reset && m.Stateful {
		return errors.New("it changes tables or drops segments, which isolation reset cannot undo; use fresh")
	}
	return nil
}

// compile validates the original before it rewrites it: an index that is invalid there could otherwise name what the
// rewriting appends.
func (l *loader) compile(ctx context.Context, g *guest, m *meter.Module) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.validate(ctx, m.Core()); err != nil {
		return fmt.Errorf("validating: %w", err)
	}
	opt := meter.Options{FuelExport: fuelExport, MaxPages: g.pages}
	if g.isolation == Reset {
		opt.GlobalExport = globalPrefix
		for i, gl := range m.Globals {
			if gl.Mutable {
				g.mutable = append(g.mutable, i)
			}
		}
	}
	metered, err := m.Instrument(opt)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.compiled, err = l.code(ctx, g.name, metered); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	return nil
}

func (l *loader) validate(ctx context.Context, original []byte) error {
	if l.feed.validated(original) {
		return nil
	}
	if l.validator == nil {
		l.validator = wazero.NewRuntimeWithConfig(ctx, engineConfig(wazero.NewRuntimeConfigInterpreter()))
	}
	m, err := compileModule(ctx, l.validator, original)
	if err != nil {
		return err
	}
	l.feed.noteValid(original)
	return m.Close(ctx)
}

// code gives the engine a rewritten module, with the machine code that came along for it or, where there is none that it
// takes, to be compiled.
func (l *loader) code(ctx context.Context, name string, metered []byte) (wazero.CompiledModule, error) {
	m, broken, err := l.feed.compile(ctx, l.engine, metered)
	if broken != nil {
		l.log.LogAttrs(ctx, slog.LevelWarn, "machine code that came along is broken", slog.String("policy", name), slog.Any("error", broken))
	}
	if err != nil || l.tally.engine != "compiler" {
		return m, err
	}
	sum := sha256.Sum256(metered)
	count := l.counts[sum]
	if count == nil {
		count = &l.tally.compiled
		if l.feed.used() {
			count = &l.tally.precompiled
		}
		l.counts[sum] = count
	}
	*count++
	return m, nil
}
