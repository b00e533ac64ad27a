package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
)

// Exit codes. They are part of the command line's contract.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDenied      = 3 // 401 and 403
	exitNotFound    = 4
	exitUnavailable = 5 // unreachable, rate limited, or failing closed
)

// failure is an error with an exit code and a hint about what to do.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// refused turns an error answer of the API into a failure.
func refused(status int, e api.Error) error {
	f := &failure{code: exitFailed, err: fmt.Errorf("%s: %s", e.Code, e.Message)}
	if e.Rule != "" {
		f.err = fmt.Errorf("%w (rule %s)", f.err, e.Rule)
	}
	if e.Decision != "" {
		f.hint = "decision " + e.Decision + " in the audit log has the details"
	}
	switch {
	case status == 401 || status == 403:
		f.code = exitDenied
	case status == 404:
		f.code = exitNotFound
	case status == 429 || status >= 502:
		f.code = exitUnavailable
	}
	return f
}

// report prints err for people and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitFailed, ""
	if f := (*failure)(nil); errors.As(err, &f) {
		code, hint = f.code, f.hint
	}
	_, _ = fmt.Fprintln(w, "keyhole:", strings.TrimRight(err.Error(), "\n"))
	if hint != "" {
		_, _ = fmt.Fprintln(w, "hint:", hint)
	}
	return code
}
