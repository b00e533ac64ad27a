package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Durability is what an acknowledgement of a FileSink promises.
type Durability uint8

const (
	// Process: the kernel has the bytes. They survive the death of the process, not that of the machine.
	Process Durability = iota
	// Strict: the bytes and the directory entry are flushed (fsync); they survive a power failure as far as the storage
	// keeps its word. Records that come together share one flush.
	Strict
)

// FileConfig configures a FileSink.
type FileConfig struct {
	Path       string // required
	Durability Durability
	Retention  Retention        // default: one file that grows
	Wall       func() time.Time // default time.Now; names of files left behind
	Logger     *slog.Logger     // default: none; told when retention removes a file, or cannot
}

// FileSink keeps a log in files, mode 0600. The file at Path is always the current one. Where others stand beside it,
// for "audit.jsonl":
//
//	audit-ULID.jsonl    an older file, which is full or which a write failed on; names sort by age, and before audit.jsonl
//	audit.jsonl.torn    incomplete last lines that were found at start
//	audit.jsonl.new     exists while a new file is begun
//	audit.jsonl.lock    held (flock) by the process that writes
//
// Files lists the logs in order. Only Retention removes any, and never the current one.
type FileSink struct {
	cfg  FileConfig
	lock *os.File
	file *os.File // nil before Open and after a failed Reopen
	size int64    // of file
	next next
}

// NewFileSink checks cfg. It does not touch the file system: Open does.
func NewFileSink(cfg FileConfig) (*FileSink, error) {
	switch {
	case cfg.Path == "":
		return nil, errors.New("audit: no path for the log file")
	case cfg.Durability > Strict:
		return nil, fmt.Errorf("audit: durability %d, want Process or Strict", cfg.Durability)
	}
	if err := cfg.Retention.check(); err != nil {
		return nil, err
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Path = filepath.Clean(cfg.Path)
	return &FileSink{cfg: cfg}, nil
}

var errNoFile = errors.New("no file is open")

// Write appends batch with one write(2) where the kernel takes it whole, and flushes it in Strict.
func (s *FileSink) Write(batch []byte) error {
	if s.file == nil {
		return errNoFile
	}
	if err := s.put(s.file, batch); err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	s.size += int64(len(batch))
	return nil
}

// put relies on os.File.Write, which goes on after a short write until all is written or an error stands.
func (s *FileSink) put(f *os.File, batch []byte) error {
	if _, err := f.Write(batch); err != nil {
		return err
	}
	if s.cfg.Durability == Strict {
		return f.Sync()
	}
	return nil
}

func (s *FileSink) closeFile() error {
	f := s.file
	s.file = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

// Close closes the file and lets another process have the log.
func (s *FileSink) Close() error {
	err := s.closeFile()
	s.next.drop()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
