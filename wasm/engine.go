package wasm

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// engineConfig sets what every engine here has in common. Termination by context stays off: it slows every call and
// bounds nothing that fuel does not (a loop-free call tree never meets its checks).
func engineConfig(c wazero.RuntimeConfig) wazero.RuntimeConfig {
	return c.
		WithCoreFeatures(api.CoreFeaturesV2.SetEnabled(api.CoreFeatureSIMD, false)).
		WithMemoryLimitPages(maxPages).
		WithDebugInfoEnabled(false)
}

// compiler makes an engine that runs machine code. It fails where the platform has no compiler or the system refuses
// executable memory: wazero makes some of its own at once, and reports both by panicking. Machine code comes from the feed
// first, where it is installed.
func compiler(ctx context.Context, f *feed) (r wazero.Runtime, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("compiler engine: %v", p)
		}
	}()
	c := engineConfig(wazero.NewRuntimeConfigCompiler())
	if f.cache != nil {
		c = c.WithCompilationCache(f.cache)
	}
	r = wazero.NewRuntimeWithConfig(ctx, c)
	if f.cache != nil {
		r = &fedRuntime{r, f.cache}
	}
	return r, nil
}

// newEngine prefers the compiler and falls back to the interpreter, which is right but about 50 times slower.
func newEngine(ctx context.Context, compiler func(context.Context) (wazero.Runtime, error), log *slog.Logger) (r wazero.Runtime, interpreter bool, err error) {
	r, err = compiler(ctx)
	if err == nil {
		return r, false, nil
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	log.LogAttrs(ctx, slog.LevelWarn, "policies run interpreted, about 50 times slower", slog.Any("error", err))
	return wazero.NewRuntimeWithConfig(ctx, engineConfig(wazero.NewRuntimeConfigInterpreter())), true, nil
}

// compileModule turns a panic of the engine into an error: a module is outside input.
func compileModule(ctx context.Context, r wazero.Runtime, wasm []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the engine failed: %v", p)
		}
	}()
	return r.CompileModule(ctx, wasm)
}
