package wasm

import (
	"context"
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
	validator wazero.Runtime // only validates originals; the interpreter, since it need not make machine code
}

func (l *loader) start(ctx context.Context) (err error) {
	if l.engine, err = newEngine(ctx, compiler, l.log); err != nil {
		return fmt.Errorf("%w: %w", ErrLoad, err)
	}
	l.validator = wazero.NewRuntimeWithConfig(ctx, engineConfig(wazero.NewRuntimeConfigInterpreter()))
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
	original, err := compileModule(ctx, l.validator, m.Core())
	if err != nil {
		return fmt.Errorf("validating: %w", err)
	}
	if err := original.Close(ctx); err != nil {
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
	if g.compiled, err = compileModule(ctx, l.engine, metered); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	return nil
}
