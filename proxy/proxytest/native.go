package proxytest

import (
	"context"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/wasm"
)

// Native is machine code of the builtin policies, made once in a process: under the race detector the compiler takes
// longer than all else that most servers of tests do. It goes into app.Drivers. What is made for a program does not fit a test of it.
func Native(t testing.TB) wasm.Native {
	t.Helper()
	made, err := native()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var native = sync.OnceValues(func() (wasm.Made, error) {
	var c wasm.Config
	for _, name := range policies.Names() {
		module, _ := policies.Builtin(name)
		c.Modules = append(c.Modules, wasm.Module{Wasm: module})
	}
	return wasm.Precompile(context.Background(), c)
})
