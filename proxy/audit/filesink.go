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

// Full reports whether the current file has reached Retention.Rotate.
func (s *FileSink) Full() bool {
	return s.cfg.Retention.Rotate > 0 && s.size >= s.cfg.Retention.Rotate
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

// Reopen writes batch to a file of its own first; only when that worked does it take the place of the current one, which
// is renamed. So a disk that is full leaves no trail of empty files.
func (s *FileSink) Reopen(batch []byte) error {
	_ = s.closeFile() // its error says no more than the failed write did
	f, err := s.begin(batch)
	if err != nil {
		return fmt.Errorf("beginning a new audit log: %w", err)
	}
	if err := s.replace(); err != nil {
		_ = f.Close()
		return fmt.Errorf("beginning a new audit log: %w", err)
	}
	s.file, s.size = f, int64(len(batch))
	s.prune()
	return nil
}

func (s *FileSink) begin(batch []byte) (*os.File, error) {
	name := s.cfg.Path + newSuffix
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, err
	}
	if err := s.put(f, batch); err != nil {
		_ = f.Close()
		_ = os.Remove(name)
		return nil, err
	}
	return f, nil
}

// replace may stop half way: Open and the next Reopen take up either state.
func (s *FileSink) replace() error {
	aside, err := asideName(s.cfg.Path, s.cfg.Wall())
	if err != nil {
		return err
	}
	if err := os.Rename(s.cfg.Path, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(s.cfg.Path+newSuffix, s.cfg.Path); err != nil {
		return err
	}
	return s.syncDir()
}

// syncDir makes names as durable as contents.
func (s *FileSink) syncDir() error {
	if s.cfg.Durability != Strict {
		return nil
	}
	d, err := os.Open(filepath.Dir(s.cfg.Path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
