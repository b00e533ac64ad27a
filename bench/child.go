package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// patience is how long a child may take to start or to end.
const patience = 30 * time.Second

// child is a server in a process of its own, as in production: it shares neither heap nor scheduler with the load.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser // held open: the bare handler ends with it
	stderr bytes.Buffer
	done   chan struct{}
	err    error // of the process, after done
}

// startChild runs a program, with env beside our own environment. stdout may be nil. ctx kills it.
func startChild(ctx context.Context, env []string, stdout io.Writer, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = stdout, &c.stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// await polls ready until it holds, the child ends, or patience does.
func (c *child) await(ready func() bool) error {
	for deadline := time.Now().Add(patience); !ready(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-c.done:
			return fmt.Errorf("%s ended before it served: %w\n%s", c.cmd.Path, c.err, c.stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve", c.cmd.Path)
		}
	}
	return nil
}

// stop interrupts the child and waits; an end other than a clean one is an error.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(os.Interrupt)
	_ = c.stdin.Close()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.kill()
		return fmt.Errorf("%s had to be killed", c.cmd.Path)
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w\n%s", c.cmd.Path, c.err, c.stderr.String())
	}
	return nil
}

// cpu is the processor time that the child has used, in user and kernel mode; 0 where the system does not say. Linux
// counts it in hundredths of a second.
func (c *child) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The fields after the name, which stands in parentheses and may hold anything: state is the third of all, utime and
	// stime the fourteenth and fifteenth.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks time.Duration
	for _, f := range fields[min(11, len(fields)):min(13, len(fields))] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// kill is for the way out after an error. On a child that was stopped it does nothing.
func (c *child) kill() {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	<-c.done
}
