package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// auditLog counts what a server adds to its log.
type auditLog struct {
	path   string
	offset int64
}

// growth is the records of one kind of request that were added: all, and those of a hit that was answered with 200.
type growth struct{ access, hits int }

var errNotRecorded = errors.New("the audit log does not hold what was answered")

// skip goes to the end.
func (l *auditLog) skip() error {
	_, err := l.next()
	return err
}

// next waits until the log is at rest and counts what is new.
func (l *auditLog) next() (g growth, err error) {
	if err := l.settle(); err != nil {
		return g, err
	}
	f, err := os.Open(l.path)
	if err != nil {
		return g, err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return g, err
	}
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return g, nil
		}
		if err != nil {
			return g, fmt.Errorf("reading the audit log: %w", err)
		}
		l.offset += int64(len(line))
		if !bytes.Contains(line, []byte(`"kind":"access"`)) {
			continue
		}
		g.access++
		if bytes.Contains(line, []byte(`"cache":{"state":"hit"`)) && bytes.Contains(line, []byte(`"result":{"status":200,`)) {
			g.hits++
		}
	}
}

// settle waits for the answers that the end of a run cut off: they are recorded all the same.
func (l *auditLog) settle() error {
	last := int64(-1)
	for range 100 {
		info, err := os.Stat(l.path)
		if err != nil {
			return err
		}
		if info.Size() == last {
			return nil
		}
		last = info.Size()
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the audit log never comes to rest")
}

// check holds the records against the answers that the load counted, and those that its end may have cut off.
func (g growth) check(answers, cutOff int) error {
	if g.hits != g.access {
		return fmt.Errorf("%w: %d of %d reads were no hits answered with 200", errNotRecorded, g.access-g.hits, g.access)
	}
	if g.hits < answers || g.hits > answers+cutOff {
		return fmt.Errorf("%w: %d records for %d answers and at most %d that were cut off", errNotRecorded, g.hits, answers, cutOff)
	}
	return nil
}
