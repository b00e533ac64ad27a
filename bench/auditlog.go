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

// check holds the records against the answers that the load counted: a hit with status 200 each, and not one record more
// but for the requests that the end of the run cut off, which the server may have served or refused.
func (g growth) check(answers, cutOff int) error {
	switch {
	case g.hits < answers:
		return fmt.Errorf("%w: %d records of hits with status 200 for %d answers", errNotRecorded, g.hits, answers)
	case g.access > answers+cutOff:
		return fmt.Errorf("%w: %d records for %d answers and at most %d that were cut off", errNotRecorded, g.access, answers, cutOff)
	}
	return nil
}
