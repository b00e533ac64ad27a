package lambdaemu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Extension is a process beside the runtime.
type Extension struct {
	name       string
	id         string
	cmd        *exec.Cmd
	stdout     proxytest.Buffer
	registered chan struct{} // closed by the first call of register
	exited     chan struct{}
	queue      chan []byte

	mu     sync.Mutex
	since  time.Duration // from the start of the environment to its registration
	events []string      // that it wants to hear of
	idle   chan struct{} // closed while it waits for an event
	errors []*FunctionError
}

// startExtensions starts all of them with this environment. Of what only a runtime has they get nothing.
func (e *Environment) startExtensions(env []string) error {
	for i, command := range e.config.Extensions {
		x := &Extension{
			name: filepath.Base(command), id: fmt.Sprintf("c8a4d0a5-0000-4000-9000-%012d", i), cmd: exec.Command(command),
			registered: make(chan struct{}), exited: make(chan struct{}), queue: make(chan []byte), idle: make(chan struct{}),
		}
		x.cmd.Dir, x.cmd.Env = e.config.Dir, env
		x.cmd.Stdout, x.cmd.Stderr = &x.stdout, &e.log
		e.mu.Lock()
		e.beside = append(e.beside, x)
		e.mu.Unlock()
		if err := x.cmd.Start(); err != nil {
			close(x.exited)
			for _, other := range e.beside {
				other.kill()
			}
			return err
		}
		go func() {
			_ = x.cmd.Wait()
			close(x.exited)
			e.abandon(fmt.Errorf("%w: extension %s", ErrExited, x.name))
		}()
	}
	return nil
}

// initialise starts the runtime once all extensions have registered: it waits for them, and does not come up where one
// does not.
func (e *Environment) initialise() {
	for _, x := range e.beside {
		select {
		case <-x.registered:
		case <-x.exited:
			e.startOnce.Do(func() { close(e.exited) })
			return
		case <-e.exited:
			return
		}
	}
	e.startOnce.Do(func() { _ = e.startRuntime() })
}

// whole waits until the extensions wait for an event, too: only then is the initialisation over.
func (e *Environment) whole(ctx context.Context) (time.Duration, error) {
	for _, x := range e.beside {
		select {
		case <-x.waiting():
		case <-x.exited:
			return 0, e.unready()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.readyAt.Sub(e.started), nil
}

// Extensions are those beside the runtime, in the order of Config.
func (e *Environment) Extensions() []*Extension { return e.beside }

// Stdout is what the extension wrote to its standard output. What it wrote to its standard error is in Environment.Log.
func (x *Extension) Stdout() string {
	return x.stdout.String()
}

// ExitCode is that of an extension that has ended, -1 where it was killed.
func (x *Extension) ExitCode() int {
	<-x.exited
	return x.cmd.ProcessState.ExitCode()
}

// Registered is how long after the start of the environment the extension registered; 0 where it has not.
func (x *Extension) Registered() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.since
}

// PID is the extension's process.
func (x *Extension) PID() int { return x.cmd.Process.Pid }

// CPU is the processor time that the extension used. It has ended.
func (x *Extension) CPU() time.Duration {
	<-x.exited
	return x.cmd.ProcessState.UserTime() + x.cmd.ProcessState.SystemTime()
}

// MaxRSS is the most memory that the extension had so far, in KiB, as proc(5) tells (VmHWM); 0 where it does not. What
// wait(2) tells of a process begins with what the one that started it had.
func (x *Extension) MaxRSS() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, text, _ := strings.Cut(string(status), "\nVmHWM:")
	fields := strings.Fields(text)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n
}

// Errors are what the extension said went wrong.
func (x *Extension) Errors() []*FunctionError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.errors)
}

// Kill ends the extension as a crash of its own would.
func (x *Extension) Kill() { x.kill() }

// Signal sends it a signal.
func (x *Extension) Signal(s syscall.Signal) error { return x.cmd.Process.Signal(s) }

func (x *Extension) kill() {
	_ = x.cmd.Process.Kill()
	<-x.exited
}

func (x *Extension) waiting() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.idle
}

// tell hands an event to an extension that wants it, when it waits for one.
func (x *Extension) tell(ctx context.Context, kind string, body any) {
	x.mu.Lock()
	wants := slices.Contains(x.events, kind)
	x.mu.Unlock()
	text, err := json.Marshal(body)
	if err != nil || !wants {
		return
	}
	select {
	case x.queue <- text:
	case <-x.exited:
	case <-ctx.Done():
	}
}

// crashed says which extension has ended by itself, with which an environment does not go on.
func (e *Environment) crashed() error {
	for _, x := range e.beside {
		select {
		case <-x.exited:
			return fmt.Errorf("%w: extension %s", ErrExited, x.name)
		default:
		}
	}
	return nil
}

// tellInvoke hands the event of an invocation to the extensions.
func (e *Environment) tellInvoke(ctx context.Context, in *invocation) {
	ctx, cancel := context.WithDeadline(ctx, in.deadline.Add(e.config.Slack))
	defer cancel()
	for _, x := range e.beside {
		x.tell(ctx, "INVOKE", map[string]any{
			"eventType": "INVOKE", "deadlineMs": in.deadline.UnixMilli(), "requestId": in.id, "invokedFunctionArn": functionARN,
			"tracing": map[string]string{"type": "X-Amzn-Trace-Id", "value": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"},
		})
	}
}

// settled waits until the extensions are done with an invocation, which takes as long.
func (e *Environment) settled(ctx context.Context, deadline time.Time) error {
	late := time.NewTimer(time.Until(deadline.Add(e.config.Slack)))
	defer late.Stop()
	for _, x := range e.beside {
		select {
		case <-x.waiting():
		case <-x.exited:
			return fmt.Errorf("%w: extension %s", ErrExited, x.name)
		case <-late.C:
			e.Kill()
			return ErrTimeout
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// shutdownExtensions tells the extensions of the end, and gives them their time.
func (e *Environment) shutdownExtensions(patience time.Duration) {
	deadline := time.Now().Add(patience)
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(e.config.Slack))
	defer cancel()
	var told sync.WaitGroup
	for _, x := range e.beside {
		told.Go(func() {
			x.tell(ctx, "SHUTDOWN", map[string]any{"eventType": "SHUTDOWN", "shutdownReason": "SPINDOWN", "deadlineMs": deadline.UnixMilli()})
		})
	}
	for _, x := range e.beside {
		select {
		case <-x.exited:
		case <-ctx.Done():
		}
		x.kill()
	}
	told.Wait()
}

// find is the extension of an identifier or, before it has one, of a name.
func (e *Environment) find(is func(*Extension) bool) *Extension {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.IndexFunc(e.beside, is); i >= 0 {
		return e.beside[i]
	}
	return nil
}

func (e *Environment) caller(r *http.Request) *Extension {
	id := r.Header.Get("Lambda-Extension-Identifier")
	return e.find(func(x *Extension) bool { return x.id == id })
}

// registerBeside takes an extension beside the runtime, once.
func (x *Extension) registerBeside(since time.Duration, events []string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.registered:
		return false
	default:
	}
	for _, kind := range events {
		if kind != "INVOKE" && kind != "SHUTDOWN" {
			return false
		}
	}
	x.since, x.events = since, events
	close(x.registered)
	return true
}

// eventBeside answers an extension's call for its next event, which it is until then idle for.
func (x *Extension) eventBeside(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	select {
	case <-x.idle:
	default:
		close(x.idle)
	}
	x.mu.Unlock()
	select {
	case <-r.Context().Done():
	case event := <-x.queue:
		x.mu.Lock()
		x.idle = make(chan struct{})
		x.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Lambda-Extension-Event-Identifier", "4b3b7d2a-0000-4000-8000-000000000001")
		_, _ = w.Write(event)
	}
}

// extensionFailure takes the errors of an extension: of its initialisation, which ends that of the function, or later.
func (e *Environment) extensionFailure(initial bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := e.caller(r)
		if x == nil {
			e.refuse(w, r, http.StatusForbidden, "Extension.UnknownExtensionIdentifier")
			return
		}
		err := extensionError(r)
		x.mu.Lock()
		x.errors = append(x.errors, err)
		x.mu.Unlock()
		if initial {
			e.mu.Lock()
			e.initError = err
			e.mu.Unlock()
		}
		accepted(w)
		if initial {
			e.startOnce.Do(func() { close(e.exited) })
			_ = e.signalRuntime(syscall.SIGKILL)
		}
	}
}
