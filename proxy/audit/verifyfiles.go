package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// VerifyFiles is Verify for files, as Files lists them.
func VerifyFiles(paths []string, o VerifyOptions) (Report, error) {
	return verifyFiles(paths, nil, o)
}

func verifyFiles(paths []string, current *os.File, o VerifyOptions) (Report, error) {
	return overFiles(paths, current, func(sources []Source) (Report, error) { return Verify(sources, o) })
}

// overFiles has verify read files, which are opened when it does, the last one from current, where that is given.
func overFiles(paths []string, current *os.File, verify func([]Source) (Report, error)) (Report, error) {
	sources := make([]Source, len(paths))
	files := make([]lazyFile, len(paths))
	defer func() {
		for i := range files {
			files[i].close()
		}
	}()
	for i, p := range paths {
		files[i].path = p
		sources[i] = Source{p, &files[i]}
	}
	if current != nil {
		files[len(files)-1].f = current
	}
	return verify(sources)
}

// VerifyLog is VerifyFiles for all files of the log at path, which it returns. The log may be written meanwhile: what goes
// on in a new file is not looked at, and where an older one is removed, reading starts again, a few times. Older files
// that retention r may have removed are taken as OldestGone says; others must not be missing.
func VerifyLog(path string, r Retention, o VerifyOptions) ([]string, Report, error) {
	const tries = 5
	var before []string
	for try := 1; ; try++ {
		files, current, err := snapshot(path)
		if err != nil {
			return nil, Report{}, err
		}
		now := o
		now.OldestGone = o.OldestGone || r.mayHaveRemoved(files)
		report, err := verifyFiles(files, current, now)
		if err == nil || try == tries || slices.Equal(before, files) {
			return files, report, err
		}
		before = files
	}
}

// snapshot lists the files of a log and opens the last, whose name may become another's at any time. Names of older files
// do not change. Between the two renames of a new file there is no current one; the older ones are then the log.
func snapshot(path string) (files []string, current *os.File, err error) {
	current, err = os.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("looking for the audit log: %w", err)
	}
	files, err = asides(path)
	switch {
	case err != nil:
	case current == nil && len(files) == 0:
		err = fmt.Errorf("looking for the audit log: %w", os.ErrNotExist)
	case current == nil:
		return files, nil, nil
	default:
		files, err = until(files, current)
	}
	if err != nil {
		if current != nil {
			_ = current.Close()
		}
		return nil, nil, err
	}
	return append(files, filepath.Clean(path)), current, nil
}

// until cuts the list where current stands in it, under its new name.
func until(files []string, current *os.File) ([]string, error) {
	info, err := current.Stat()
	if err != nil {
		return nil, err
	}
	for i := len(files) - 1; i >= 0; i-- {
		other, err := os.Stat(files[i])
		if errors.Is(err, os.ErrNotExist) {
			break // removed, and all before it
		}
		if err != nil {
			return nil, err
		}
		if os.SameFile(info, other) {
			return files[:i], nil
		}
	}
	return files, nil
}

// lazyFile opens on the first read, so that a log of many files needs few descriptors.
type lazyFile struct {
	path string
	f    *os.File
	done bool
}

func (l *lazyFile) Read(p []byte) (int, error) {
	if l.done {
		return 0, io.EOF
	}
	if l.f == nil {
		f, err := os.Open(l.path)
		if err != nil {
			return 0, err
		}
		l.f = f
	}
	n, err := l.f.Read(p)
	if err != nil {
		l.close()
	}
	return n, err
}

func (l *lazyFile) close() {
	l.done = true
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}
