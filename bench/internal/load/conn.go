package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// grace is how long beyond its planned end a run may take before its connections fail.
const grace = 30 * time.Second

// conn asks one question over and over. It allocates nothing while it does: what the generator costs, the server lacks.
type conn struct {
	net     net.Conn
	in      *bufio.Reader
	request []byte
	want    []byte

	answers int
	bytes   int64
	times   []time.Duration // of the open loop
	lags    []time.Duration
}

func dial(ctx context.Context, t Target, n int, d time.Duration) ([]*conn, error) {
	addr, request, err := t.address()
	if err != nil {
		return nil, err
	}
	var all []*conn
	for range n {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		_ = c.SetDeadline(time.Now().Add(d + grace))
		all = append(all, &conn{net: c, in: bufio.NewReaderSize(c, 16<<10), request: request, want: []byte(t.Want)})
	}
	return all, nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.net.Close()
	}
}

var (
	statusStart   = []byte("HTTP/1.1 ")
	lengthName    = []byte("Content-Length")
	errStatus     = fmt.Errorf("%w: the status is not 200", ErrAnswer)
	errStatusLine = fmt.Errorf("%w: no status line", ErrAnswer)
	errNoLength   = fmt.Errorf("%w: no Content-Length", ErrAnswer)
	errLacksWant  = fmt.Errorf("%w: it lacks the wanted header", ErrAnswer)
	errHeaderLine = fmt.Errorf("%w: a header line without a colon", ErrAnswer)
)

// ask sends the request and reads the whole answer, which must be the one that is measured.
func (c *conn) ask() error {
	status, wanted, err := c.exchange(c.request)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return errStatus
	case !wanted:
		return errLacksWant
	}
	c.answers++
	return nil
}

// exchange sends a request and reads the whole answer, whatever it is, and says whether it has the wanted header.
func (c *conn) exchange(request []byte) (status int, wanted bool, err error) {
	if _, err := c.net.Write(request); err != nil {
		return 0, false, err
	}
	line, err := c.line()
	if err != nil {
		return 0, false, err
	}
	if status = parseStatus(line); status == 0 {
		return 0, false, errStatusLine
	}
	length := -1
	wanted = len(c.want) == 0
	for {
		if line, err = c.line(); err != nil {
			return 0, false, err
		}
		if len(line) == 0 {
			break
		}
		wanted = wanted || bytes.Equal(line, c.want)
		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			return 0, false, errHeaderLine
		}
		if bytes.EqualFold(name, lengthName) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, errNoLength
			}
		}
	}
	if length < 0 {
		return 0, false, errNoLength
	}
	n, err := c.in.Discard(length)
	c.bytes += int64(n)
	return status, wanted, err
}

// parseStatus is the status of a status line, 0 where it is none.
func parseStatus(line []byte) (status int) {
	rest, ok := bytes.CutPrefix(line, statusStart)
	if !ok || len(rest) < 3 {
		return 0
	}
	for _, d := range rest[:3] {
		if d < '0' || d > '9' {
			return 0
		}
		status = 10*status + int(d-'0')
	}
	return status
}

// line reads one line without its end.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	c.bytes += int64(len(line))
	return bytes.TrimRight(line, "\r\n"), err
}
