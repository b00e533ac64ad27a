// Package wire makes the single HTTP requests of upstreams. It knows bounds, but no secrets and no credentials.
//
// Its laws:
//   - It speaks HTTP/1.1 only: on the one connection of HTTP/2 a packet lost would hold up every request.
//   - Redirects are not followed, and proxies of the environment are not used: what a request carries is for its address.
//   - A connection that was idle for a minute by the wall clock is not used again, also where the process was frozen meanwhile.
//   - Answers are bounded, and what held them on the way is wiped.
//   - Why there was no answer is said in words of our own: the text of the library may quote what the other side sent.
package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/answerbody"
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
	maxHeader   = 64 << 10
)

// Config is how the two sides prove who they are. The zero value trusts the authorities of the system and shows nothing.
type Config struct {
	// CA is the authorities that may have signed the other side's certificate, PEM; empty means those of the system.
	CA []byte
	// Certificate is asked for each connection for what is to be shown; nil shows nothing.
	Certificate func() (*tls.Certificate, error)
	// Wall is the clock that also runs while the process is frozen; nil is time.Now.
	Wall func() time.Time
}

// Wire is safe for concurrent use.
type Wire struct {
	wall      func() time.Time
	transport func() *http.Transport

	closing context.Context // done when Close was called
	shut    context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	client *http.Client   // of the connections that may be used
	asked  int64          // when the last request began, by wall: Unix milliseconds
	flying sync.WaitGroup // added to under mu, and never once closed
}

// New fails where CA holds no certificate.
func New(c Config) (*Wire, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("no certificate authority in what should be PEM")
		}
	}
	if c.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			shown, err := c.Certificate()
			if err != nil {
				return nil, errClientCertificate
			}
			return shown, nil
		}
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	w := &Wire{wall: c.Wall, transport: func() *http.Transport {
		return &http.Transport{
			Proxy:       nil, // not even that of the environment: credentials would go through it
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: tlsTimeout,
			DisableCompression: true,
			MaxIdleConns:       maxIdle, MaxIdleConnsPerHost: maxIdle, MaxConnsPerHost: maxConns, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: maxHeader,
		}
	}}
	w.client = &http.Client{
		Timeout: maxTime, Transport: w.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	w.closing, w.shut = context.WithCancelCause(context.Background())
	return w, nil
}

// Close ends the requests that are under way, waits for them and releases the connections.
func (w *Wire) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.shut(ErrClosed)
	w.flying.Wait()
	w.client.CloseIdleConnections()
}

// Answer is what came back. Its body is wiped by whoever has it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send makes a request and reads its answer, at most most bytes of it. It closes the body of the request, whatever
// happens. Errors are secret.ErrTimeout, secret.ErrUnavailable, ErrClosed, answerbody.ErrTooLong or that of ctx.
func (w *Wire) Send(ctx context.Context, req *http.Request, most int) (*Answer, error) {
	client := w.take()
	if client == nil {
		return nil, unsent(req, ErrClosed)
	}
	defer w.flying.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.closing, func() { cancel(ErrClosed) })()
	if err := contextError(ctx); err != nil {
		return nil, unsent(req, err)
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := answerbody.Read(resp.Body, resp.ContentLength, most)
	switch {
	case errors.Is(err, answerbody.ErrTooLong):
		return nil, fmt.Errorf("%w: more than %d bytes", err, most)
	case err != nil:
		return nil, unreached(ctx, err)
	}
	return &Answer{resp.StatusCode, resp.Header, body}, nil
}

// take returns what makes one request more that is waited for, nil where there is none to come.
func (w *Wire) take() *http.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.flying.Add(1)
	w.thawLocked()
	return w.client
}

// thawLocked gives up the connections that nobody can have kept while nothing was asked. The library's own timers stand
// still while the process is frozen; the other side's, and those of whatever is between, do not, and a request on a
// connection that they have forgotten waits for nothing. Those that become idle later, of requests that are under way, go
// with the transport that made them.
func (w *Wire) thawLocked() {
	now := w.wall().UnixMilli()
	idle := time.Duration(now-w.asked) * time.Millisecond
	if w.asked != 0 && idle.Abs() >= idleTimeout {
		client := *w.client
		client.Transport = w.transport()
		w.client.CloseIdleConnections()
		w.client = &client
	}
	w.asked = now
}

func unsent(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}
