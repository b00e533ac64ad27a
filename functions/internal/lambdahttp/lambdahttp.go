// Package lambdahttp turns the events that Lambda invokes a function with into requests of an http.Handler, and its
// answers back: those of a Function URL, of an HTTP API of API Gateway (payload format 2.0) and of an Application Load
// Balancer. Events of EventBridge become invalidations, or a look at whether the function is ready.
//
// Laws: the shape of an event says what it is, and what no shape fits is refused; the source address is what the platform
// says in requestContext, never a header; nothing is kept from one invocation to the next, so that any number may be under
// way; a request ends before Lambda would end it.
package lambdahttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// margin is left of an invocation's time for the answer to be sent.
const margin = 200 * time.Millisecond

// Lambda takes payloads of 6 MB, with some overhead for what it adds to a request.
var limits = strictjson.Limits{Bytes: 8 << 20, Depth: 64, Nodes: 20_000, ExactNames: true}

// ErrUnknownEvent is wrapped where a payload is none of the events of this package: what invoked the function is not meant
// to.
var ErrUnknownEvent = errors.New("unknown event")

// Change is the word of EventBridge that an object of a vault may have changed.
type Change struct {
	Source  string   // who says so, such as "aws.secretsmanager"
	ID      string   // of the event
	Type    string   // of the upstreams that may have it, such as "secretsmanager"
	Objects []string // names that the object may have there
}

// Caller is who AWS says has called a Function URL of AuthType AWS_IAM: what the event has in
// requestContext.authorizer.iam.
type Caller = struct{ Account, ARN, UserID, AccessKey string }

// Config is what a Handler is made of. All of it is required but Settled and CalledBy.
type Config struct {
	API http.Handler
	// Changed invalidates what is cached of the objects, and returns how many places that are.
	Changed func(context.Context, Change) (int, error)
	// Ready says why a request could not be served now, nil if it could.
	Ready func() error
	// Settled is waited for before an event is looked at. An error refuses it. Nil: there is nothing to wait for.
	Settled func() error
	// CalledBy puts into the context of a request who AWS says has called. Nil: that member of events is not looked at, since
	// whoever may invoke the function directly writes it.
	CalledBy func(context.Context, Caller) context.Context
}

// Handler is a handler of aws-lambda-go. It is safe for concurrent use.
type Handler struct{ config Config }

// New validates c.
func New(c Config) (*Handler, error) {
	if c.API == nil || c.Changed == nil || c.Ready == nil {
		return nil, errors.New("lambdahttp: api, changed and ready are required")
	}
	return &Handler{c}, nil
}

// Invoke answers one event. It wipes the payload. An error is for whoever invoked the function, and tells nothing of the
// payload.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if h.config.Settled != nil {
		if err := h.config.Settled(); err != nil {
			clear(payload)
			return nil, err
		}
	}
	root, err := strictjson.Parse(payload, limits)
	clear(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownEvent, err)
	}
	defer root.Wipe()
	ctx, cancel := bounded(ctx)
	defer cancel()
	e := event{root}
	switch {
	case e.has("requestContext", "elb"):
		return h.serve(ctx, e.balancer())
	case e.text("version") == "2.0" && e.has("requestContext", "http"):
		m := e.gateway()
		return h.serve(h.called(ctx, e, m), m)
	case e.has("detail-type") && e.has("source"):
		return h.signal(ctx, e)
	}
	return nil, fmt.Errorf("%w: want one of a Function URL, of an HTTP API in payload format 2.0, of an Application Load Balancer or of EventBridge", ErrUnknownEvent)
}

// bounded ends before the invocation does.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end.Add(-margin))
}

// serve asks the API.
func (h *Handler) serve(ctx context.Context, m *message) ([]byte, error) {
	w := &answer{header: http.Header{}}
	defer w.wipe()
	r, err := m.request(ctx)
	if err != nil {
		w.refuse(http.StatusBadRequest, "invalid_path", "a percent escape is malformed")
		return m.encode(w), nil
	}
	defer clear(m.body)
	if m.headerBytes() > maxHeaderBytes {
		w.refuse(http.StatusRequestHeaderFieldsTooLarge, "too_large", "the headers are larger than 16 KiB")
		return m.encode(w), nil
	}
	h.config.API.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		w.wipe()
	}
	return m.encode(w), nil
}
