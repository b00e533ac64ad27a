package awssink

import (
	"context"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// question is how a service is asked whether it takes what a sink puts there.
type question struct {
	call awsjson.Request
	yes  error  // besides nil, that the call ends with where it does
	name string // of the table or stream
	key  string // of the configuration, that has the name
}

// Checkup implements audit.Checker: does AWS answer, take our credentials, and let us put into the table or stream. What
// is asked stores nothing.
func (s *Sink) Checkup(ctx context.Context) secret.Checkup {
	out := s.client.Checkup(ctx, nil, func(ctx context.Context, e *awsjson.Examiner, _ string) error { return s.look(ctx, e) })
	for i := range out.Troubles {
		if t := &out.Troubles[i]; t.Where == "limits.rate" { // which upstreams have
			t.Where, t.Fix = "", "ask again; where it stays, have the quota raised"
		}
	}
	return out
}

func (s *Sink) look(ctx context.Context, e *awsjson.Examiner) error {
	q := s.question
	answer, err := e.Try(ctx, q.call)
	if answer != nil {
		answer.Wipe()
	}
	switch {
	case err == nil, errors.Is(err, q.yes):
		e.Good("put records into the %s", s.what)
	case errors.Is(err, secret.ErrNotFound):
		e.Wrong("there is no "+s.what+" in this region and account", q.key, "correct "+q.key+" or region, or make it: docs/audit.md")
	case errors.Is(err, secret.ErrDenied):
		e.Refused(q.call.Action, q.name, "attach a policy that allows it: docs/audit.md")
	case errors.Is(err, awsjson.ErrRequest):
		e.Wrong("the "+s.what+" does not take our records", q.key, "make it as docs/audit.md says")
	default:
		return e.Heard(err)
	}
	return nil
}
