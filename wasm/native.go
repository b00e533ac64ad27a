package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
)

// Native is machine code of policies that Precompile made earlier. Each key is wazero's, in hex, and stands for one
// module as it was rewritten and the features of one kind of processor; each value begins with the version of wazero.
// Code for another module, processor or version is not run. Keys that end in ".valid" name, by their SHA-256, the
// modules that were validated then and need not be again; one key names system and architecture, which wazero's do not.
//
// Beyond that nothing looks inside, and what runs is this process: the bytes must come out of the program itself, or out
// of something whose digest a trusted party signed, never out of a place that another principal can write. They are
// given as bytes, not as files, so that nobody can change them after a check.
type Native interface {
	// Code returns what stands under a key. The caller changes nothing in it.
	Code(key string) (code []byte, ok bool)
}

// Made is a Native in memory.
type Made map[string][]byte

// Code implements Native.
func (m Made) Code(key string) (code []byte, ok bool) {
	code, ok = m[key]
	return code, ok
}

// Precompile makes the machine code that New needs for the same Modules and Isolation on a processor with the features
// of this one. The same Config gives the same bytes wherever these features are. It fails as New does, and also where
// the compiler cannot run.
func Precompile(ctx context.Context, cfg Config) (made Made, err error) {
	f := &feed{made: make(Made)}
	c, err := newChain(ctx, cfg, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	if f.cache == nil {
		return nil, fmt.Errorf("%w: %w", ErrLoad, errNoStore)
	}
	f.made[systemName()] = nil
	return f.made, nil
}

// systemName is the key in a Native which says where it runs.
func systemName() string { return runtime.GOOS + "-" + runtime.GOARCH + ".system" }

// usable is n, or nothing where n is for another system.
func usable(n Native) Native {
	if n == nil {
		return nil
	}
	if _, ok := n.Code(systemName()); !ok {
		return nil
	}
	return n
}

// tally is how the policies of a chain got their machine code.
type tally struct {
	engine      string
	precompiled uint64
	compiled    uint64
}

// log is worth a line only where something was compiled: a function starts often.
func (t *tally) log(ctx context.Context, log *slog.Logger) {
	level := slog.LevelInfo
	if t.precompiled > 0 && t.compiled == 0 {
		level = slog.LevelDebug
	}
	log.LogAttrs(ctx, level, "policies loaded", slog.String("engine", t.engine),
		slog.Uint64("precompiled", t.precompiled), slog.Uint64("compiled", t.compiled))
}
