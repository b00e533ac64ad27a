// Package lambdaemu runs a built function as Lambda does: one execution environment with the Runtime API (2018-06-01) and
// the Extensions API (2020-01-01), for processes beside the runtime and for what a runtime uses that wants to be told of
// its end. Initialisation, invocations, errors, timeouts, freezing, shutdown and crashes are those that Lambda's public
// documentation describes.
package lambdaemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const (
	// MaxAnswerBytes is the most that a function may answer.
	MaxAnswerBytes = 6<<20 + 100
	// Between SIGTERM and SIGKILL a runtime with an extension inside it has insideTimeout, another one besideTimeout.
	insideTimeout = 500 * time.Millisecond
	besideTimeout = 300 * time.Millisecond
	// endTimeout is the whole end's. The extensions beside a runtime have what that may not take.
	endTimeout = 2 * time.Second
)

// What an invocation or a start may come to beside an answer.
var (
	ErrTimeout  = errors.New("the function did not answer in time, and was killed")
	ErrExited   = errors.New("the function exited without an answer")
	ErrTooLarge = errors.New("the answer is larger than Lambda takes")
)

// FunctionError is what a function says went wrong.
type FunctionError struct {
	Type string // of its header or trailer, "" where it has none
	Body string // JSON
}

// Error implements error.
func (e *FunctionError) Error() string { return "function error " + e.Type + ": " + e.Body }

// Config says what runs. Command is required.
type Config struct {
	Command     string        // the bootstrap
	Dir         string        // of the package, LAMBDA_TASK_ROOT
	Env         []string      // beside what Lambda sets; nothing of our own environment is there
	Timeout     time.Duration // of an invocation; 0: 3 s, as Lambda's
	Concurrency int           // invocations in one environment at the same time; 0: 1
	Extensions  []string      // executables of extensions beside the runtime, each with a file name of its own
	// Slack is how much later than Lambda the emulator kills what is over its time, which is told of as it is: a busy
	// machine is no fault of the function. It hides what is late by less.
	Slack time.Duration
}

// Environment is one execution environment.
type Environment struct {
	config Config
	cmd    *exec.Cmd
	server *http.Server
	stdout proxytest.Buffer
	log    proxytest.Buffer // standard output and error
	beside []*Extension
	queue  chan *invocation
	ready  chan struct{} // closed by the first call of next
	exited chan struct{}

	once      sync.Once // closes ready
	startOnce sync.Once // starts the runtime, or closes exited in place of it

	mu        sync.Mutex
	runtime   *os.Process // nil before it is started
	started   time.Time
	readyAt   time.Time
	running   map[string]*invocation
	numbers   int
	initError *FunctionError
	extension bool // something wants to be told of the end

	unaccounted []string // what the Runtime API does not take
	ending      bool     // from SIGTERM on; an answer that is left half said is not the function's fault then
	killed      bool     // nothing is its fault any more
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	done     chan struct{}
	answer   []byte
	err      error
}

// Start begins the initialisation. The environment must be ended by Shutdown or Kill.
func Start(c Config) (*Environment, error) {
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &Environment{
		config: c, queue: make(chan *invocation), ready: make(chan struct{}), exited: make(chan struct{}),
		running: map[string]*invocation{},
	}
	e.server = &http.Server{Handler: e.routes(), ReadHeaderTimeout: time.Minute}
	go func() { _ = e.server.Serve(ln) }()
	all := append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + ln.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=keyhole",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_REGION=eu-west-1",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "TZ=:UTC", "PATH=/usr/bin:/bin",
	}, c.Env...)
	if c.Concurrency > 1 {
		all = append(all, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(c.Concurrency))
	}
	e.cmd = exec.Command(c.Command)
	e.cmd.Dir = c.Dir
	// The last of several values counts.
	e.cmd.Env = append([]string{"LAMBDA_TASK_ROOT=" + c.Dir, "_HANDLER=bootstrap"}, all...)
	e.cmd.Stdout, e.cmd.Stderr = io.MultiWriter(&e.stdout, &e.log), &e.log
	e.started = time.Now()
	if err := e.startExtensions(all); err != nil {
		_ = e.server.Close()
		return nil, err
	}
	if len(c.Extensions) == 0 {
		e.startOnce.Do(func() { err = e.startRuntime() })
		return e, err
	}
	go e.initialise()
	return e, nil
}

func (e *Environment) startRuntime() error {
	e.mu.Lock() // whoever hears of the process knows it
	err := e.cmd.Start()
	e.runtime = e.cmd.Process
	e.mu.Unlock()
	if err != nil {
		close(e.exited)
		_ = e.server.Close()
		return err
	}
	go func() {
		_ = e.cmd.Wait()
		close(e.exited)
		e.abandon(ErrExited)
	}()
	return nil
}

// signalRuntime does nothing to a runtime that has not been started.
func (e *Environment) signalRuntime(s syscall.Signal) error {
	e.mu.Lock()
	p := e.runtime
	e.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.Signal(s)
}

// Ready waits until the function asks for its first event. It returns what the function says, or ErrExited, where it does
// not.
func (e *Environment) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case <-e.ready:
		return e.whole(ctx)
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-e.exited:
	}
	return 0, e.unready()
}

// unready is why there is no function.
func (e *Environment) unready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initError != nil {
		return e.initError
	}
	return fmt.Errorf("%w: %s", ErrExited, e.Log())
}

// Invoke sends one event and waits for what it comes to.
func (e *Environment) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if err := e.crashed(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.numbers++
	in := &invocation{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", e.numbers), payload: payload, done: make(chan struct{})}
	e.running[in.id] = in
	in.deadline = time.Now().Add(e.config.Timeout)
	e.mu.Unlock()
	late := time.NewTimer(e.config.Timeout + e.config.Slack)
	defer late.Stop()
	e.tellInvoke(ctx, in)
	select {
	case e.queue <- in:
	case <-e.exited:
		e.finish(in.id, nil, ErrExited)
	case <-late.C:
		e.finish(in.id, nil, ErrTimeout)
	case <-ctx.Done():
		e.finish(in.id, nil, ctx.Err())
	}
	select {
	case <-in.done:
	case <-e.exited: // what waited for the event may not know yet that there is nobody to hand it to
		e.finish(in.id, nil, ErrExited)
	case <-late.C:
		e.finish(in.id, nil, ErrTimeout)
		e.Kill()
	case <-ctx.Done():
		e.finish(in.id, nil, ctx.Err())
	}
	<-in.done
	if in.err == nil {
		in.err = e.settled(ctx, in.deadline)
	}
	return in.answer, in.err
}

// finish ends an invocation once; ok is false where there is none of that name, or none any more.
func (e *Environment) finish(id string, answer []byte, err error) (ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := e.running[id]
	if in == nil {
		return false
	}
	delete(e.running, id)
	in.answer, in.err = answer, err
	close(in.done)
	return true
}

func (e *Environment) abandon(err error) {
	e.mu.Lock()
	var ids []string
	for id := range e.running {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	for _, id := range ids {
		e.finish(id, nil, err)
	}
}

// Freeze stops all processes, as Lambda does between invocations, and Thaw lets them go on.
func (e *Environment) Freeze() error { return e.signal(syscall.SIGSTOP) }

// Thaw is the end of Freeze.
func (e *Environment) Thaw() error { return e.signal(syscall.SIGCONT) }

func (e *Environment) signal(s syscall.Signal) error {
	err := e.signalRuntime(s)
	for _, x := range e.beside {
		err = errors.Join(err, x.cmd.Process.Signal(s))
	}
	return err
}

// PID is the runtime, which has been started.
func (e *Environment) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runtime.Pid
}

// Kill ends the environment as a crash of its host would.
func (e *Environment) Kill() {
	e.mu.Lock()
	e.killed = true
	e.mu.Unlock()
	for _, x := range e.beside {
		x.kill()
	}
	e.endRuntime()
	_ = e.server.Close()
}

// endRuntime kills the runtime, also one that has not been started.
func (e *Environment) endRuntime() {
	e.startOnce.Do(func() { close(e.exited) })
	_ = e.signalRuntime(syscall.SIGKILL)
	<-e.exited
}

// Shutdown ends the environment: SIGTERM and its time for a runtime that asked for it or has extensions beside it, then
// the event and its time for those, and SIGKILL. It returns the exit code of the runtime, -1 where it had to be killed.
func (e *Environment) Shutdown() int {
	e.mu.Lock()
	e.ending = true
	told, patience := e.extension || len(e.beside) > 0, besideTimeout
	if e.extension {
		patience = insideTimeout
	}
	e.mu.Unlock()
	e.startOnce.Do(func() { close(e.exited) }) // beside extensions another goroutine starts the runtime, or never does
	if told {
		_ = e.signalRuntime(syscall.SIGTERM)
		select {
		case <-e.exited:
		case <-time.After(patience + e.config.Slack):
		}
	}
	e.endRuntime()
	e.shutdownExtensions(endTimeout - patience)
	e.Kill()
	return e.cmd.ProcessState.ExitCode()
}

// Log is what the process wrote to its standard output and error.
func (e *Environment) Log() string {
	return e.log.String()
}

// Stdout is what the process wrote to its standard output alone: all of it once the process has ended.
func (e *Environment) Stdout() string { return e.stdout.String() }

// Refused is the calls that the APIs did not take: a function makes none.
func (e *Environment) Refused() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.unaccounted...)
}

// CPU is the processor time that the process used. It has ended.
func (e *Environment) CPU() time.Duration {
	return e.cmd.ProcessState.UserTime() + e.cmd.ProcessState.SystemTime()
}

// MaxRSS is the most memory that the process had, in KiB. It has ended.
func (e *Environment) MaxRSS() int64 {
	if u, ok := e.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss
	}
	return 0
}
