package wasm_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

// prSetMDWE and refuseExecGain are of prctl(2): no memory of the process becomes executable any more.
const (
	prSetMDWE      = 65
	refuseExecGain = 1
)

// A system that refuses executable memory is noticed before there is a policy to run. What is refused stays refused, so
// another process finds out.
func TestExecutableMemoryRefused(t *testing.T) {
	const child = "KEYHOLE_TEST_REFUSED"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case bytes.Contains(out, []byte("--- SKIP: ")):
			t.Skip("the kernel cannot refuse it")
		case err != nil:
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetMDWE, refuseExecGain, 0, 0, 0, 0); errno != 0 {
		t.Skip("the kernel cannot refuse executable memory: ", errno)
	}
	cfg := wasm.Config{Modules: []wasm.Module{word(t, "one", allow, "")}}
	var out bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&out, nil))
	c := load(t, cfg)
	if !strings.Contains(out.String(), "policies run interpreted") {
		t.Errorf("logged %q", out.String())
	}
	if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Allow {
		t.Errorf("got %+v", got)
	}
}
