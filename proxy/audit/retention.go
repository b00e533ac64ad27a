package audit

import (
	"fmt"
	"os"
)

// Retention bounds the files of a log. The zero Retention keeps one file that grows.
type Retention struct {
	Rotate int64 // bytes at which a file is full and the log goes on in a new one; 0: never; a batch may pass it
	Keep   int   // older files kept; 0: all
}

// least is what any file is charged: about what it takes on disk.
const least = 4 << 10

func (r Retention) check() error {
	switch {
	case r.Rotate < 0 || r.Rotate > 0 && r.Rotate < least:
		return fmt.Errorf("audit: rotate at %d bytes, want 0 or at least %d", r.Rotate, least)
	case r.Keep < 0 || r.Keep > 0 && r.Rotate == 0:
		return fmt.Errorf("audit: keep %d older files, want 0 or, with rotation, more", r.Keep)
	}
	return nil
}

// charge is what an older file counts against Keep × Rotate. A full file counts Rotate whatever its last batch added. Files
// that failed writes cut short count what they hold, so that a disk that fails again and again does not push out history.
func (r Retention) charge(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return min(max(info.Size(), least), r.Rotate), nil
}

// excess returns how many of the older files, oldest first, are too many.
func (r Retention) excess(older []string) (int, error) {
	if r.Keep == 0 {
		return 0, nil
	}
	room := int64(r.Keep) * r.Rotate
	for i := len(older) - 1; i >= 0; i-- {
		n, err := r.charge(older[i])
		if err != nil {
			return 0, err
		}
		if room -= n; room < 0 {
			return i + 1, nil
		}
	}
	return 0, nil
}

// mayHaveRemoved reports whether the older files among these, all but the last, leave no room for one more that is full:
// only then can there have been others that retention removed.
func (r Retention) mayHaveRemoved(files []string) bool {
	if r.Keep == 0 {
		return false
	}
	room := int64(r.Keep) * r.Rotate
	for _, f := range files[:len(files)-1] {
		n, err := r.charge(f)
		if err != nil {
			return false
		}
		room -= n
	}
	return room < r.Rotate
}

// prune removes the oldest files that are too many. A file that cannot be removed does not stop the log, whose records
// stand in another; it is tried again with the next file.
func (s *FileSink) prune() {
	older, err := asides(s.cfg.Path)
	if err != nil {
		s.cfg.Logger.Warn("older audit files cannot be listed, so none is removed", "error", err)
		return
	}
	n, err := s.cfg.Retention.excess(older)
	if err != nil {
		s.cfg.Logger.Warn("older audit files cannot be measured, so none is removed", "error", err)
		return
	}
	for _, f := range older[:n] {
		if err := os.Remove(f); err != nil { // in order: a hole would look like tampering
			s.cfg.Logger.Warn("an audit file past its retention cannot be removed", "error", err)
			return
		}
		s.cfg.Logger.Info("audit file removed by retention", "file", f)
	}
}
