package proxytest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

// Patience is how long a test waits for something that must happen; no test measures it.
const Patience = time.Minute

// BuildBinary builds cmd/keyhole into dir, with these flags of go build, and returns its path. Nothing for debuggers is in
// it, which takes most of the time of a build whose packages are in the cache.
func BuildBinary(dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, "keyhole")
	args := append(append([]string{"build", "-ldflags=-w"}, flags...), "-o", bin, "github.com/keyhole-edge/keyhole/cmd/keyhole")
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return bin, nil
}

// Process is a running server of a built binary.
type Process struct {
	Dir    string
	Server devdir.Server
	Config *config.Config
	Cmd    *exec.Cmd
	Stdout *Buffer
	Stderr *Buffer

	done chan struct{}
	err  error
}

// Buffer is a bytes.Buffer for two goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// StartBinary runs the binary with these arguments, which start a server in dir, and waits until it answers. The server
// is killed with the test if it still runs.
func StartBinary(t testing.TB, bin, dir string, args ...string) *Process {
	t.Helper()
	p := &Process{Dir: dir, Cmd: exec.Command(bin, args...), Stdout: &Buffer{}, Stderr: &Buffer{}, done: make(chan struct{})}
	p.Cmd.Stdout, p.Cmd.Stderr = p.Stdout, p.Stderr
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.Kill(t) })
	for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		s, ok, err := devdir.Find(dir)
		if err == nil && ok && s.PID == p.Cmd.Process.Pid {
			p.Server = s
			break
		}
		select {
		case <-p.done:
			t.Fatalf("%v ended before it served: %v\n%s", args, p.err, p.Stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v does not say where it serves\n%s", args, p.Stderr.String())
		}
	}
	c, err := full.Drivers().Load(filepath.Join(dir, devdir.ConfigFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Config = c
	return p
}

// Target is the server for scripts.
func (p *Process) Target() Target { return Target{URL: p.Server.Native, Token: Issuer(p.Config)} }

// AWSTarget is the server's AWS dialect for scripts.
func (p *Process) AWSTarget() Target {
	native := p.Target()
	return Target{URL: p.Server.AWS, Token: native.Token, Native: &native}
}

// Stop sends an interrupt and returns the exit code.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.Cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	return p.Wait(t)
}

// Kill ends the process as a power switch would, and waits for it.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	_ = p.Cmd.Process.Signal(syscall.SIGKILL)
	p.Wait(t)
}

// Wait waits for the end and returns the exit code.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		t.Fatalf("the server does not end\n%s", p.Stderr.String())
		return -1
	}
}

// Run runs a command to its end.
func Run(t testing.TB, bin, stdin string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Stdin = io.NopCloser(bytes.NewReader([]byte(stdin)))
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
