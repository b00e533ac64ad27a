package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ErrTorn means that the text ends inside a line. The end of a log that is being written may: read on later. A log that
// is not has lost the rest.
var ErrTorn = errors.New("the last line is incomplete")

// errLineTooLong is for lines that no log wrote.
var errLineTooLong = fmt.Errorf("%w: longer than %d bytes", ErrNotRecord, MaxLineBytes)

// lines reads line by line in bounded memory.
type lines struct {
	r      *bufio.Reader
	number int   // of the line read last, from 1
	torn   int64 // bytes of an incomplete last line
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, MaxLineBytes)}
}

// next returns the next line with its newline, valid until the following call; io.EOF at the end, ErrTorn and what there
// is of the line if something follows the last newline.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		l.number++
		return line, nil
	case errors.Is(err, bufio.ErrBufferFull):
		l.number++
		return line, errLineTooLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		l.number++
		l.torn = int64(len(line))
		return line, ErrTorn
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, fmt.Errorf("reading the log: %w", err)
}

// skip passes over the rest of a line that was too long.
func (l *lines) skip() error {
	for {
		switch _, err := l.r.ReadSlice('\n'); {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("reading the log: %w", err)
		}
	}
}

// Scan calls fn for each record of a log, in order, with its line (without newline); both are valid until fn returns.
// It checks each line by itself, as Decode does, not the chain: use Verify for that. It ends with the first error of fn
// or of the log, the latter with its line number; ErrTorn if the text ends inside a line, after all whole lines.
func Scan(r io.Reader, fn func(line []byte, rec *Record) error) error {
	var (
		in  = newLines(r)
		d   decoder
		rec Record
	)
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = d.decode(line, &rec)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", in.number, err)
		}
		if err := fn(line[:len(line)-1], &rec); err != nil {
			return err
		}
	}
}
