package vault

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxTime bounds a request whose caller has no deadline.
const maxTime = 30 * time.Second

// wire makes single requests: it knows addresses and bounds, but no secrets and no logins.
type wire struct {
	base      string // ends with "/v1/"
	namespace string
	client    *http.Client

	closing context.Context // done when close was called
	shut    context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	flying sync.WaitGroup // added to under mu, and never once closed
}

func newWire(base, namespace string, t *http.Transport) *wire {
	w := &wire{base: base, namespace: namespace, client: &http.Client{
		Transport: t, Timeout: maxTime,
		// The token is for this address. A standby that sends elsewhere is a failure that the address has to mend.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	w.closing, w.shut = context.WithCancelCause(context.Background())
	return w
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.shut(ErrClosed)
	w.flying.Wait()
	w.client.CloseIdleConnections()
}

// request is one call. Its body is JSON and is wiped by whoever made it.
type request struct {
	method string
	path   string // behind "/v1/"
	query  string
	body   []byte
	header http.Header // credentials
	server bool        // it is about the server: a namespace would not answer it
}

// send makes a request and reads its answer, which the caller wipes.
func (w *wire) send(ctx context.Context, r request) (*answer, error) {
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
	req, sent, err := w.request(ctx, r)
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer sent.wait()
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp.Body, resp.ContentLength)
	switch {
	case errors.Is(err, errTooLong):
		return nil, err
	case err != nil:
		return nil, unreached(ctx, err)
	}
	defer clear(body)
	return newAnswer(resp, body), nil
}

func (w *wire) request(ctx context.Context, r request) (*http.Request, *upload, error) {
	url := w.base + r.path
	if r.query != "" {
		url += "?" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Header.Set("User-Agent", "keyhole")
	req.Header.Set("X-Vault-Request", "true") // a server may ask for it, against forged requests
	if w.namespace != "" && !r.server {
		req.Header.Set("X-Vault-Namespace", w.namespace)
	}
	if r.body == nil {
		return req, nil, nil
	}
	sent := &upload{Reader: bytes.NewReader(r.body), closed: make(chan struct{})}
	req.Body, req.ContentLength = sent, int64(len(r.body))
	req.Header.Set("Content-Type", "application/json")
	return req, sent, nil
}

// upload is the body of a request. The library may go on reading it after it has returned, until it closes it.
type upload struct {
	*bytes.Reader
	once   sync.Once
	closed chan struct{}
}

// Close implements io.Closer.
func (u *upload) Close() error {
	u.once.Do(func() { close(u.closed) })
	return nil
}

// wait returns when nobody reads u any more, so that it can be wiped. nil is no body.
func (u *upload) wait() {
	if u != nil {
		<-u.closed
	}
}

// maxBody bounds an answer: the largest secret with every byte escaped, and what stands around it.
const maxBody = 6*secret.MaxValueBytes + 1<<20
