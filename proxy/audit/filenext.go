package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// nextAgain is how long a full file is written to before it is tried again to open the one after it.
const nextAgain = 10 * time.Second

// next is the file that takes the place of the current one, opened before that is given up: what is most likely to fail
// there, such as a lack of descriptors, must not end a log that can still be written.
type next struct {
	file    *os.File // nil where none is open
	dir     *os.File // that holds both; nil unless it is going to be flushed
	failed  bool
	retryAt time.Time
}

// open is idempotent.
func (n *next) open(path string, d Durability) (err error) {
	if n.file != nil {
		return nil
	}
	if d == Strict {
		if n.dir, err = os.Open(filepath.Dir(path)); err != nil {
			return err
		}
	}
	if n.file, err = os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, fileMode); err != nil {
		n.closeDir()
	}
	return err
}

// drop gives the file up.
func (n *next) drop() {
	if n.file == nil {
		return
	}
	_ = n.file.Close()
	_ = os.Remove(n.file.Name())
	n.file = nil
	n.closeDir()
}

func (n *next) closeDir() {
	if n.dir != nil {
		_ = n.dir.Close()
		n.dir = nil
	}
}

// Full reports whether the current file has reached Retention.Rotate and the next one is open. Where that cannot be
// opened the log goes on in the current file, and it is tried again later.
func (s *FileSink) Full() bool {
	if s.cfg.Retention.Rotate == 0 || s.size < s.cfg.Retention.Rotate {
		return false
	}
	if time.Now().Before(s.next.retryAt) {
		return false
	}
	err := s.next.open(s.cfg.Path, s.cfg.Durability)
	switch {
	case err != nil && !s.next.failed:
		s.cfg.Logger.Error("the audit log is full and a new file cannot be opened; it goes on in the current one", "error", err)
	case err == nil && s.next.failed:
		s.cfg.Logger.Info("a new file of the audit log can be opened again")
	}
	if s.next.failed = err != nil; s.next.failed {
		s.next.retryAt = time.Now().Add(nextAgain)
	}
	return err == nil
}

// Reopen writes batch to a file of its own first; only when that worked does it take the place of the current one, which
// is renamed. So a disk that is full leaves no trail of empty files.
func (s *FileSink) Reopen(batch []byte) error {
	_ = s.closeFile() // its error says no more than the failed write did
	if err := s.begin(batch); err != nil {
		s.next.drop()
		return fmt.Errorf("beginning a new audit log: %w", err)
	}
	err := s.replace()
	f := s.next.file
	s.next.file = nil
	s.next.closeDir()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("beginning a new audit log: %w", err)
	}
	s.file, s.size = f, int64(len(batch))
	s.prune()
	return nil
}

func (s *FileSink) begin(batch []byte) error {
	if err := s.next.open(s.cfg.Path, s.cfg.Durability); err != nil {
		return err
	}
	return s.put(s.next.file, batch)
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
	if s.next.dir == nil {
		return nil
	}
	return s.next.dir.Sync()
}
