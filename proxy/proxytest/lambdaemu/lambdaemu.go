// Package lambdaemu runs a built function as Lambda does: one execution environment with the Runtime API (2018-06-01) and
// as much of the Extensions API (2020-01-01) as a runtime uses that wants to be told of its end. Initialisation,
// invocations, errors, timeouts, freezing, shutdown and crashes are those that Lambda's public documentation describes.
package lambdaemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// MaxAnswerBytes is the most that a function may answer.
	MaxAnswerBytes = 6<<20 + 100
	// shutdownTimeout is what a runtime with an extension inside it has between SIGTERM and SIGKILL.
	shutdownTimeout = 500 * time.Millisecond
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
}

// Environment is one execution environment.
type Environment struct {
	config Config
	cmd    *exec.Cmd
	server *http.Server
	stderr buffer
	queue  chan *invocation
	ready  chan struct{} // closed by the first call of next
	exited chan struct{}

	once sync.Once // closes ready

	mu        sync.Mutex
	started   time.Time
	readyAt   time.Time
	running   map[string]*invocation
	numbers   int
	initError *FunctionError
	extension bool // something wants to be told of the end

	unaccounted []string // what the Runtime API does not take
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	done     chan struct{}
	answer   []byte
	err      error
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
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
	e.cmd = exec.Command(c.Command)
	e.cmd.Dir = c.Dir
	e.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + ln.Addr().String(), "LAMBDA_TASK_ROOT=" + c.Dir, "AWS_LAMBDA_FUNCTION_NAME=keyhole",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_REGION=eu-west-1",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "_HANDLER=bootstrap", "TZ=:UTC", "PATH=/usr/bin:/bin",
	}, c.Env...)
	if c.Concurrency > 1 {
		e.cmd.Env = append(e.cmd.Env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(c.Concurrency))
	}
	e.cmd.Stdout, e.cmd.Stderr = &e.stderr, &e.stderr
	e.started = time.Now()
	if err := e.cmd.Start(); err != nil {
		_ = e.server.Close()
		return nil, err
	}
	go func() {
		_ = e.cmd.Wait()
		close(e.exited)
		e.abandon(ErrExited)
	}()
	return e, nil
}

// Ready waits until the function asks for its first event. It returns what the function says, or ErrExited, where it does
// not.
func (e *Environment) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case <-e.ready:
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.readyAt.Sub(e.started), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-e.exited:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initError != nil {
		return 0, e.initError
	}
	return 0, fmt.Errorf("%w: %s", ErrExited, e.Log())
}

// Invoke sends one event and waits for what it comes to.
func (e *Environment) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e.mu.Lock()
	e.numbers++
	in := &invocation{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", e.numbers), payload: payload, done: make(chan struct{})}
	e.running[in.id] = in
	in.deadline = time.Now().Add(e.config.Timeout)
	e.mu.Unlock()
	late := time.NewTimer(e.config.Timeout)
	defer late.Stop()
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
	case <-late.C:
		e.finish(in.id, nil, ErrTimeout)
		e.Kill()
	case <-ctx.Done():
		e.finish(in.id, nil, ctx.Err())
	}
	<-in.done
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

// Freeze stops the process, as Lambda does between invocations, and Thaw lets it go on.
func (e *Environment) Freeze() error { return e.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw is the end of Freeze.
func (e *Environment) Thaw() error { return e.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the environment as a crash of its host would.
func (e *Environment) Kill() {
	_ = e.cmd.Process.Kill()
	<-e.exited
	_ = e.server.Close()
}

// Shutdown ends the environment: SIGTERM and its time for a runtime that asked for it, and SIGKILL. It returns the exit
// code, -1 for a process that had to be killed.
func (e *Environment) Shutdown() int {
	e.mu.Lock()
	told := e.extension
	e.mu.Unlock()
	if told {
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.exited:
		case <-time.After(shutdownTimeout):
		}
	}
	e.Kill()
	return e.cmd.ProcessState.ExitCode()
}

// PID is that of the process.
func (e *Environment) PID() int { return e.cmd.Process.Pid }

// Log is what the process wrote to its standard output and error.
func (e *Environment) Log() string {
	e.stderr.mu.Lock()
	defer e.stderr.mu.Unlock()
	return e.stderr.b.String()
}

// Refused is the calls that the APIs did not take: a function makes none.
func (e *Environment) Refused() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.unaccounted...)
}

// MaxRSS is the most memory that the process had, in KiB. It has ended.
func (e *Environment) MaxRSS() int64 {
	if u, ok := e.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss
	}
	return 0
}
