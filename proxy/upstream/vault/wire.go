package vault

import (
	"bytes"
	"context"
	"io"
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
	resp, err := w.do(ctx, r)
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp.Body, resp.ContentLength)
	switch {
	case err == nil:
	case err == errTooLong: //nolint:errorlint // it is returned as it is
		return nil, err
	default:
		return nil, unreached(ctx, err)
	}
	defer clear(body)
	return newAnswer(resp, body), nil
}

func (w *wire) do(ctx context.Context, r request) (*http.Response, error) {
	url := w.base + r.path
	if r.query != "" {
		url += "?" + r.query
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url, body)
	if err != nil {
		return nil, err
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Header.Set("User-Agent", "keyhole")
	req.Header.Set("X-Vault-Request", "true") // a server may ask for it, against forged requests
	if w.namespace != "" {
		req.Header.Set("X-Vault-Namespace", w.namespace)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return w.client.Do(req)
}

// maxBody bounds an answer: the largest secret with every byte escaped, and what stands around it.
const maxBody = 6*secret.MaxValueBytes + 1<<20
