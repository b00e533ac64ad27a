package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// pipeWhole is how much one write(2) puts into a pipe as a whole, whoever else writes to it (PIPE_BUF of Linux).
	pipeWhole = 4096
	// stdoutPatience is how long a write to standard output may block. It is less than hangs.
	stdoutPatience = 2 * time.Second
)

var errBlocked = errors.New("nobody reads it")

// StdoutConfig configures a StdoutSink.
type StdoutConfig struct {
	Out *os.File // default: the standard output of the process. The sink writes by a descriptor of its own
}

// StdoutSink writes lines to standard output, from where a platform takes them. An acknowledgement says that the kernel
// has the bytes, as Process does of a file; nobody says that they arrived, so there is no Strict. It cannot read back.
//
// Each line is in one write(2), and no write has more than one line unless all of it is put into a pipe as a whole: lines
// of other writers of up to 4096 bytes do not mix with ours of up to as many. A reader who has gone (EPIPE) is an error
// like any other, not the end of the process. Where the reader does not read, a call ends after 2 seconds; the write that
// blocks keeps its goroutine until he does, or has gone, and until then every call fails at once.
type StdoutSink struct {
	cfg  StdoutConfig
	out  *os.File
	buf  []byte       // belongs to the goroutine that writes while put is not nil
	put  chan written // takes the end of a write that was given up; nil where there is none
	torn bool         // the last line is incomplete
}

// written is how a write ended.
type written struct {
	torn bool
	err  error
}

// NewStdoutSink makes no descriptor: Open does.
func NewStdoutSink(cfg StdoutConfig) *StdoutSink {
	if cfg.Out == nil {
		cfg.Out = os.Stdout
	}
	return &StdoutSink{cfg: cfg}
}

// Open takes a descriptor. What was written before cannot be read.
func (s *StdoutSink) Open() (Tail, error) {
	out, err := duplicate(s.cfg.Out)
	if err != nil {
		return Tail{}, fmt.Errorf("standard output: %w", err)
	}
	s.out = out
	return Tail{Shared: true}, nil
}

// Write implements Sink.
func (s *StdoutSink) Write(batch []byte) error {
	if err := s.write(batch); err != nil {
		return fmt.Errorf("writing the audit log to standard output: %w", err)
	}
	return nil
}

// Reopen is Write: there is no other place. A line that a failed write left incomplete is ended first.
func (s *StdoutSink) Reopen(batch []byte) error { return s.Write(batch) }

func (s *StdoutSink) write(batch []byte) error {
	if s.out == nil {
		return errNoFile
	}
	if s.put != nil {
		select {
		case w := <-s.put:
			s.put, s.torn = nil, w.torn
		default:
			return errBlocked
		}
	}
	s.buf = s.buf[:0]
	if s.torn {
		s.buf = append(s.buf, '\n')
	}
	s.buf = append(s.buf, batch...) // the caller may have it back before a write that blocks
	out, text, torn, put := s.out, s.buf, s.torn, make(chan written, 1)
	go func() { put <- writeLines(out, text, torn) }()
	patience := time.NewTimer(stdoutPatience)
	defer patience.Stop()
	select {
	case w := <-put:
		s.torn = w.torn
		return w.err
	case <-patience.C:
		s.put = put
		return errBlocked
	}
}

// writeLines writes whole lines, as many at a time as go into a pipe as a whole. A line that is longer goes alone. torn
// says that the line before is incomplete, and stays so where nothing is written.
func writeLines(out *os.File, text []byte, torn bool) written {
	for len(text) > 0 {
		n := bytes.LastIndexByte(text[:min(len(text), pipeWhole)], '\n') + 1
		if n == 0 {
			n = bytes.IndexByte(text, '\n') + 1
		}
		done, err := out.Write(text[:n])
		if done > 0 {
			torn = text[done-1] != '\n'
		}
		if err != nil {
			return written{torn, err}
		}
		text = text[n:]
	}
	return written{}
}

// Full is never so.
func (s *StdoutSink) Full() bool { return false }

// Close gives up the descriptor; standard output itself stays open.
func (s *StdoutSink) Close() error {
	out := s.out
	s.out = nil
	if out == nil {
		return nil
	}
	return out.Close()
}
