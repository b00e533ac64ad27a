package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

func TestPolicyLog(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	c := load(t, wasm.Config{
		Modules: []wasm.Module{guest(t, "logger")},
		Logger:  slog.New(slog.NewTextHandler(&out, nil)),
		Now:     func() time.Time { return now },
	})
	count := func(decisions int) int {
		out.Reset()
		for range decisions {
			if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Allow {
				t.Fatalf("got %+v", got)
			}
		}
		return strings.Count(out.String(), "policy log")
	}
	if got := count(1); got != 1 || !strings.Contains(out.String(), "text=hello?world") || !strings.Contains(out.String(), "policy=logger") {
		t.Errorf("logged %q", out.String())
	}
	if got := count(100); got != 19 {
		t.Errorf("%d more lines in one second, want 19", got)
	}
	now = now.Add(time.Second)
	if got := count(100); got != 20 {
		t.Errorf("%d lines in the next second, want 20", got)
	}
	if got := c.Registered(); got != 1 {
		t.Errorf("%d instances are known to the host, want 1", got)
	}
}

func TestPolicyLogPerDecision(t *testing.T) {
	var out bytes.Buffer
	c := load(t, wasm.Config{
		Modules: []wasm.Module{withManifest(hostile(t, "log_flood"), "flood")},
		Logger:  slog.New(slog.NewTextHandler(&out, nil)),
	})
	c.Authorize(t.Context(), request(t))
	if got := strings.Count(out.String(), "policy log"); got != 4 {
		t.Errorf("%d lines, want 4", got)
	}
	if got := c.Registered(); got != 0 {
		t.Errorf("%d discarded instances are still known to the host", got)
	}
}

// Leaving the module costs fuel beside the instructions: about 30 units suffice without it.
func TestHostCallsArePaidFor(t *testing.T) {
	for fuel, want := range map[string]error{`"fuel":200`: wasm.ErrFuel, `"fuel":400`: nil} {
		got := chain(t, guest(t, "logger", fuel)).Authorize(t.Context(), request(t))
		if !errors.Is(got.Fault, want) {
			t.Errorf("%s: fault %v, want %v", fuel, got.Fault, want)
		}
	}
}

func TestImportIsNoExport(t *testing.T) {
	m := withManifest(hostile(t, "import_as_export"), "x", `"wasi":true`)
	if _, err := wasm.New(t.Context(), wasm.Config{Modules: []wasm.Module{m}}); err == nil || !strings.Contains(err.Error(), "is an import") {
		t.Errorf("got %v", err)
	}
}

func TestWASIStubs(t *testing.T) {
	c := chain(t, guest(t, "wasi", `"wasi":true`))
	if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Allow || got.Rule != "wasi/0" {
		t.Errorf("got %+v", got)
	}
}

func TestInterpreterIsTheFallback(t *testing.T) {
	var out bytes.Buffer
	r, err := wasm.Interpret(t.Context(), slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	if !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "executable memory refused") {
		t.Errorf("logged %q", out.String())
	}
}
