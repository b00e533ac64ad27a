package awsjson

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Bounds of connections and of requests whose caller has no deadline. How many requests are made at once is for whoever
// asks to bound.
const (
	dialTimeout = 2 * time.Second
	tlsTimeout  = 3 * time.Second
	idleTimeout = time.Minute
	maxTime     = 30 * time.Second
	maxIdle     = 64
	maxConns    = 256
)

// wire makes single requests: it knows bounds, but no secrets and no credentials.
type wire struct {
	client *http.Client

	closing context.Context // done when close was called
	shut    context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	flying sync.WaitGroup // added to under mu, and never once closed
}

// newWire speaks HTTP/1.1 only: on the one connection of HTTP/2 a packet lost would hold up every request.
func newWire(ca []byte) (*wire, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("no certificate authority in what should be PEM")
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	w := &wire{client: &http.Client{
		Timeout:       maxTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: tlsTimeout,
			DisableCompression: true,
			MaxIdleConns:       maxIdle, MaxIdleConnsPerHost: maxIdle, MaxConnsPerHost: maxConns, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}}
	w.closing, w.shut = context.WithCancelCause(context.Background())
	return w, nil
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.shut(ErrClosed)
	w.flying.Wait()
	w.client.CloseIdleConnections()
}

// answer is what came back. Its body is wiped by whoever has it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes a request and reads its answer, at most most bytes of it.
func (w *wire) send(ctx context.Context, req *http.Request, most int) (*answer, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, ErrClosed
	}
	w.flying.Add(1)
	w.mu.Unlock()
	defer w.flying.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.closing, func() { cancel(ErrClosed) })()
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	resp, err := w.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp.Body, resp.ContentLength, most)
	switch {
	case errors.Is(err, errTooLong):
		return nil, fmt.Errorf("%w: more than %d bytes", err, most)
	case err != nil:
		return nil, unreached(ctx, err)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// errTooLong is an answer larger than any that is asked for can be.
var errTooLong = fmt.Errorf("%w: the answer", secret.ErrTooLarge)

// readBody reads all of r, at most most bytes; length is what the header announces, or -1. Nothing that was read is left
// behind in memory but the result.
func readBody(r io.Reader, length int64, most int) ([]byte, error) {
	if length > int64(most) {
		return nil, errTooLong
	}
	size := min(16<<10, most+1)
	if length >= 0 {
		size = int(length) + 1 // room to see the end
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			grown := append(make([]byte, 0, min(4*cap(b), most+1)), b...)
			clear(b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > most:
			clear(b)
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			clear(b)
			return nil, err
		}
	}
}
