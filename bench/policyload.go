package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/wasm"
)

// policyLoad measures what a start pays for the default chain: with machine code that came along, against compiling.
func policyLoad(ctx context.Context, o options, r *report.Report) error {
	module, ok := policies.Builtin("scope")
	if !ok {
		return errors.New("there is no builtin policy scope")
	}
	cfg := wasm.Config{Modules: []wasm.Module{{Wasm: module}}}
	native, err := wasm.Precompile(ctx, cfg)
	if err != nil {
		return err
	}
	load := func(native wasm.Native, precompiled uint64) func(*testing.B) error {
		return func(b *testing.B) error {
			cfg := cfg
			cfg.Native = native
			for b.Loop() {
				c, err := wasm.New(ctx, cfg)
				if err != nil {
					return err
				}
				if got := c.Stats().Precompiled; got != precompiled {
					return fmt.Errorf("%d policies are precompiled, and not %d", got, precompiled)
				}
				if err := c.Close(ctx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	m, err := micro{load(native, 1), load(nil, 0)}.measure(ctx, o)
	if err != nil {
		return err
	}
	res := m.result("policy_load", "ns/op", report.Budget{})
	res.Against = "compiling the policy at start"
	return r.Add(res)
}
