package keyhole

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// request is one call of the native API.
type request struct {
	method string
	path   string // behind the base, with its slash
	query  string
	form   string // body of a request for a token
}

// call makes a request as whom we log in, and returns an answer that has what was asked for; the caller wipes it. What is
// refused is asked once more after a new login: nothing has come of it.
func (n *Node) call(ctx context.Context, r request) (*answer, error) {
	s, err := n.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	a, err := n.as(ctx, s, r)
	if !errors.Is(err, errUnauthorized) && !errors.Is(err, errRefused) {
		return a, err
	}
	other, failed := n.tokens.replace(ctx, s)
	switch {
	case failed != nil:
		return nil, failed // a refusal is believed the second time only
	case other != s && !other.token.Equal(s.token):
		a, err = n.as(ctx, other, r)
	}
	switch {
	case errors.Is(err, errUnauthorized):
		return nil, fmt.Errorf("%w: it does not take our token", ErrLogin)
	case errors.Is(err, errRefused):
		return nil, fmt.Errorf("%w: %w", errDenied, err)
	}
	return a, err
}

func (n *Node) as(ctx context.Context, s *session, r request) (*answer, error) {
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	return n.try(ctx, r, header)
}

// get reads a resource.
func (n *Node) get(ctx context.Context, path, query string) (*answer, error) {
	return n.call(ctx, request{method: http.MethodGet, path: path, query: query})
}

// try makes one request, and returns an answer that has what was asked for.
func (n *Node) try(ctx context.Context, r request, header http.Header) (*answer, error) {
	if err := n.pause.check(n.wall()); err != nil {
		return nil, err
	}
	a, err := n.send(ctx, r, header)
	if err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		a.wipe()
		return nil, n.pause.begin(n.wall(), a.wait(), err)
	}
	return a, nil
}

// send makes one request and reads its answer, whatever that says.
func (n *Node) send(ctx context.Context, r request, header http.Header) (*answer, error) {
	url := n.base + r.path
	if r.query != "" {
		url += "?" + r.query
	}
	var body io.Reader
	if r.form != "" {
		body = strings.NewReader(r.form)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, url, body)
	if err != nil {
		return nil, fmt.Errorf("%w: the address is no URL", secret.ErrUnavailable)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("User-Agent", "keyhole")
	req.Header.Set("Accept", "application/json")
	if r.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	got, err := n.wire.Send(ctx, req, maxBody)
	if err != nil {
		return nil, err
	}
	defer clear(got.Body)
	return newAnswer(got), nil
}
