package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// lineStart is how every line of this log begins.
const lineStart = `{"v":1,"id":"`

// Open takes the lock, creates the file where there is none, and reads where it ends. What stands behind the last newline
// is appended to FILE.torn and cut off. A file whose first or last line is no record is refused and left as it is.
func (s *FileSink) Open() (Tail, error) {
	lock, err := lockFile(s.cfg.Path + lockSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return Tail{}, fmt.Errorf("%w; make the folder for it first (mkdir -m 700 %s)", err, filepath.Dir(s.cfg.Path))
	}
	if err != nil {
		return Tail{}, err
	}
	s.lock = lock
	tail, err := s.open()
	if err != nil {
		return Tail{}, errors.Join(err, s.Close())
	}
	return tail, nil
}

func (s *FileSink) open() (Tail, error) {
	if err := s.finishReplace(); err != nil {
		return Tail{}, err
	}
	f, err := os.OpenFile(s.cfg.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return Tail{}, err
	}
	s.file = f
	info, err := f.Stat()
	if err != nil {
		return Tail{}, err
	}
	if !info.Mode().IsRegular() {
		return Tail{}, fmt.Errorf("%w: %s is not a regular file", ErrNotLog, s.cfg.Path)
	}
	tail, whole, err := readTail(f, info.Size())
	if err != nil {
		return Tail{}, fmt.Errorf("%s: %w", s.cfg.Path, err)
	}
	if tail.Torn > 0 {
		if err := s.moveTorn(f, whole, int64(tail.Torn)); err != nil {
			return Tail{}, fmt.Errorf("moving an incomplete line to %s: %w", s.cfg.Path+tornSuffix, err)
		}
	}
	s.size = whole
	s.prune()
	return tail, s.syncDir()
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

// finishReplace completes a Reopen that the process did not survive. While the current file exists nothing in the new one
// was acknowledged.
func (s *FileSink) finishReplace() error {
	_, err := os.Lstat(s.cfg.Path)
	if errors.Is(err, os.ErrNotExist) {
		err = os.Rename(s.cfg.Path+newSuffix, s.cfg.Path)
	} else if err == nil {
		err = os.Remove(s.cfg.Path + newSuffix)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// readTail returns the end of the log in f and how many bytes its whole lines take.
func readTail(f io.ReaderAt, size int64) (tail Tail, whole int64, err error) {
	if size == 0 {
		return Tail{}, 0, nil
	}
	if err := checkStart(f, size); err != nil {
		return Tail{}, 0, err
	}
	whole, err = afterLastNewline(f, size, size)
	if err != nil {
		return Tail{}, 0, err
	}
	tail.Torn = uint64(size - whole)
	if whole == 0 {
		return tail, 0, nil
	}
	start, err := afterLastNewline(f, whole-1, MaxLineBytes)
	if err != nil {
		return Tail{}, 0, err
	}
	line := make([]byte, whole-start)
	if _, err := f.ReadAt(line, start); err != nil {
		return Tail{}, 0, err
	}
	var rec Record
	if err := Decode(line, &rec); err != nil {
		return Tail{}, 0, fmt.Errorf("%w: its last line: %w", ErrNotLog, err)
	}
	tail.Last = rec.Chain.Position()
	return tail, whole, nil
}

// checkStart refuses what is not a log before anything is changed. A first line that is incomplete is judged by its
// beginning.
func checkStart(f io.ReaderAt, size int64) error {
	head := make([]byte, min(size, MaxLineBytes))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	line, _, found := bytes.Cut(head, []byte{'\n'})
	if !found {
		if n := min(len(line), len(lineStart)); string(line[:n]) != lineStart[:n] || size > MaxLineBytes {
			return fmt.Errorf("%w: its first line is not a record", ErrNotLog)
		}
		return nil
	}
	var rec Record
	if err := Decode(line, &rec); err != nil {
		return fmt.Errorf("%w: its first line: %w", ErrNotLog, err)
	}
	if rec.Kind != Birth {
		return fmt.Errorf("%w: its first record is of kind %s, not birth", ErrNotLog, rec.Kind)
	}
	return nil
}

// afterLastNewline returns the offset behind the last newline before end, looking back at most so many bytes; 0 if the
// start of the file comes first.
func afterLastNewline(f io.ReaderAt, end, most int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for stop := max(0, end-most); end > stop; {
		n := min(end-stop, int64(len(chunk)))
		if _, err := f.ReadAt(chunk[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(chunk[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	if end > 0 {
		return 0, fmt.Errorf("%w: its last line is longer than %d bytes", ErrNotLog, MaxLineBytes)
	}
	return 0, nil
}

// moveTorn copies before it cuts: a crash in between leaves the bytes twice, never nowhere. A copy that fails is taken back,
// so that a disk that is full at every start does not fill further.
func (s *FileSink) moveTorn(f *os.File, from, n int64) error {
	torn, err := os.OpenFile(s.cfg.Path+tornSuffix, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	before, err := torn.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, torn.Close())
	}
	_, err = io.Copy(torn, io.NewSectionReader(f, from, n))
	if err = errors.Join(err, torn.Sync()); err != nil {
		err = errors.Join(err, torn.Truncate(before))
	}
	if err := errors.Join(err, torn.Close()); err != nil {
		return err
	}
	if err := f.Truncate(from); err != nil {
		return err
	}
	return f.Sync()
}
