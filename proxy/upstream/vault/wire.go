package vault

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// vaultWire makes requests to one server: it knows addresses, but no secrets and no logins.
type vaultWire struct {
	*wire.Wire
	base      string // ends with "/v1/"
	namespace string
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
func (w *vaultWire) send(ctx context.Context, r request) (*answer, error) {
	req, sent, err := w.request(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%w: the address is no URL", secret.ErrUnavailable)
	}
	defer sent.wait()
	got, err := w.Send(ctx, req, maxBody)
	if err != nil {
		return nil, err
	}
	defer clear(got.Body)
	return newAnswer(got), nil
}

func (w *vaultWire) request(ctx context.Context, r request) (*http.Request, *upload, error) {
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
