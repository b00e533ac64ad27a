// Precompile makes the machine code of the builtin policies that package policies embeds:
//
//	precompile DIR
//
// It is for the processor it runs on (GODEBUG=cpu.FEATURE=off takes a feature away) and is added to what DIR holds. The
// same sources give the same bytes: it makes everything twice and writes nothing where the two differ, or where package
// wasm does not load what was made.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/wasm"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: precompile DIR")
		os.Exit(2)
	}
	n, size, err := run(context.Background(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "precompile:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d files, %d bytes\n", os.Args[1], n, size)
}

func run(ctx context.Context, dir string) (n, size int, err error) {
	all := make(wasm.Made)
	// Fresh runs the same code as Pooled.
	for _, isolation := range []wasm.Isolation{wasm.Pooled, wasm.Reset} {
		made, err := precompile(ctx, isolation)
		if err != nil {
			return 0, 0, fmt.Errorf("isolation %s: %w", isolation, err)
		}
		maps.Copy(all, made)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := os.WriteFile(filepath.Join(dir, name), all[name], 0o644); err != nil {
			return 0, 0, fmt.Errorf("writing machine code: %w", err)
		}
		size += len(all[name])
	}
	return len(all), size, nil
}

func precompile(ctx context.Context, isolation wasm.Isolation) (wasm.Made, error) {
	cfg := wasm.Config{Isolation: isolation}
	for _, name := range policies.Names() {
		module, ok := policies.Builtin(name)
		if !ok {
			return nil, fmt.Errorf("there is no policy %q", name)
		}
		cfg.Modules = append(cfg.Modules, wasm.Module{Wasm: module})
	}
	made, err := wasm.Precompile(ctx, cfg)
	if err != nil {
		return nil, err
	}
	again, err := wasm.Precompile(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if !maps.EqualFunc(made, again, bytes.Equal) {
		return nil, errors.New("two runs give different machine code")
	}
	cfg.Native = made
	c, err := wasm.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if s := c.Stats(); s.Compiled != 0 || s.Precompiled != uint64(len(cfg.Modules)) {
		err = fmt.Errorf("of %d policies %d are loaded and %d compiled", len(cfg.Modules), s.Precompiled, s.Compiled)
	}
	return made, errors.Join(err, c.Close(ctx))
}
