package audit

import (
	"io"
	"os"
	"slices"
)

// VerifyFiles is Verify for files, as Files lists them.
func VerifyFiles(paths []string, o VerifyOptions) (Report, error) {
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
	return Verify(sources, o)
}

// VerifyLog is VerifyFiles for all files of the log at path, which it returns. A log that is written meanwhile may go on in
// a new file or lose its oldest: it is then read again, a few times. Older files that retention r may have removed are
// taken as OldestGone says; others must not be missing.
func VerifyLog(path string, r Retention, o VerifyOptions) ([]string, Report, error) {
	const tries = 5
	files, err := Files(path)
	for try := 1; ; try++ {
		if err != nil {
			return nil, Report{}, err
		}
		now := o
		now.OldestGone = o.OldestGone || r.mayHaveRemoved(files[:len(files)-1])
		report, failure := VerifyFiles(files, now)
		if failure == nil || try == tries {
			return files, report, failure
		}
		before := files
		if files, err = Files(path); err == nil && slices.Equal(before, files) {
			return files, report, failure
		}
	}
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
