package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// call makes a request as whom we log in, and returns an answer that has what was asked for; the caller wipes it. A
// request that the vault refuses is made once more after a new login: nothing has come of it.
func (e *engine) call(ctx context.Context, r request) (*answer, error) {
	if e.tokens == nil {
		header, err := e.login.inlineHeader()
		if err != nil {
			return nil, err
		}
		r.header = header
		return denied(e.try(ctx, r))
	}
	s, err := e.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	a, err := e.as(ctx, s, r)
	if !errors.Is(err, errRefused) {
		return a, err
	}
	if e.final {
		return nil, errDenied
	}
	other, err := e.tokens.replace(ctx, s)
	if err != nil {
		return nil, err
	}
	if other == s {
		return nil, errDenied
	}
	return denied(e.as(ctx, other, r))
}

var errDenied = fmt.Errorf("%w for what we log in as", secret.ErrDenied)

func denied(a *answer, err error) (*answer, error) {
	if errors.Is(err, errRefused) {
		err = errDenied
	}
	return a, err
}

func (e *engine) as(ctx context.Context, s *session, r request) (*answer, error) {
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	r.header = header
	return e.try(ctx, r)
}

func (e *engine) try(ctx context.Context, r request) (*answer, error) {
	a, err := e.wire.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		a.wipe()
		return nil, err
	}
	return a, nil
}

// believing is e for a question whose refusal is believed at once: the token has just been good for another.
func (e *engine) believing() *engine {
	b := *e
	b.final = true
	return &b
}

// get reads a resource.
func (e *engine) get(ctx context.Context, path, query string) (*answer, error) {
	return e.call(ctx, request{method: http.MethodGet, path: path, query: query})
}
