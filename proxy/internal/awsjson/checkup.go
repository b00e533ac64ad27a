package awsjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Absent is the last part of names that a checkup asks for and nobody gives to a secret.
const Absent = "keyhole-doctor"

// Checkup is a secret.Checker's for an upstream of AWS, and an audit.Checker's, which has no places: it logs in, and lets
// look ask what reads at each place and below need, which is the same whether what is there holds fields or not. The first
// question that AWS does not answer ends it, for the others would have the same answer.
func (c *Client) Checkup(ctx context.Context, all []secret.Place, look func(ctx context.Context, e *Examiner, place string) error) secret.Checkup {
	e := &Examiner{client: c, sessions: c.sessions}
	var places []string
	for _, p := range all {
		if !slices.Contains(places, p.At) {
			places = append(places, p.At)
		}
	}
	if len(places) == 0 {
		places = []string{""}
	}
	if e.out.Troubles = c.misplaced(places); len(e.out.Troubles) > 0 {
		return e.out
	}
	if e.login(ctx) {
		for _, place := range places {
			if err := look(ctx, e, place); err != nil {
				break // told of by Ask
			}
		}
	}
	return e.out
}

// Examiner asks questions and notes the answers.
type Examiner struct {
	client   *Client
	sessions *sessions // whose credentials are used
	heard    heard     // the last answer
	out      secret.Checkup
}

// heard is what the last answer said.
type heard struct{ code, message string }

// Good notes what works.
func (e *Examiner) Good(format string, args ...any) {
	e.out.Good = append(e.out.Good, fmt.Sprintf(format, args...))
}

// doubt notes what may be wrong.
func (e *Examiner) doubt(what, where, fix string) {
	e.out.Troubles = append(e.out.Troubles, secret.Trouble{What: what, Where: where, Fix: fix, Minor: true})
}

// Nothing notes that a place is empty: more likely it is not the one that is meant.
func (e *Examiner) Nothing(place string) {
	e.doubt(fmt.Sprintf("AWS lists nothing below %q in %s", place, e.client.region), "region", "correct region, or the mount's at, unless there is nothing yet")
}

// Wrong notes what is not as it must be.
func (e *Examiner) Wrong(what, where, fix string) {
	e.out.Troubles = append(e.out.Troubles, secret.Trouble{What: what, Where: where, Fix: fix})
}

// Refused notes that AWS lets us not do what must be done.
func (e *Examiner) Refused(action, resource, fix string) {
	e.Wrong(e.refusal(action, resource), e.client.roleKey(), fix)
}

// DoubtRefused is Refused where reads work all the same, or may.
func (e *Examiner) DoubtRefused(action, resource, fix string) {
	e.doubt(e.refusal(action, resource), e.client.roleKey(), fix)
}

func (e *Examiner) refusal(action, resource string) string {
	return fmt.Sprintf("AWS refuses %s:%s on %s%s", e.client.service.Name, action, resource, reason(e.heard.message))
}

// Allowed makes calls of one action until one of them is allowed, and says which: -1 where none is. What was answered is
// wiped.
func (e *Examiner) Allowed(ctx context.Context, calls ...Request) (int, error) {
	for i, r := range calls {
		root, may, err := e.Ask(ctx, r)
		if root != nil {
			root.Wipe()
		}
		if err != nil || may {
			return i, err
		}
	}
	return -1, nil
}

// Ask asks whether we may make a call. What AWS answers to those who may is root, which the caller wipes: it is nil where
// the answer is that there is no such thing. Any error has been noted, and nothing more need be asked.
func (e *Examiner) Ask(ctx context.Context, r Request) (root *strictjson.Node, may bool, err error) {
	root, err = e.Try(ctx, r)
	switch {
	case err == nil:
		return root, true, nil
	case errors.Is(err, secret.ErrNotFound):
		return nil, true, nil
	case errors.Is(err, secret.ErrDenied):
		return nil, false, nil
	}
	e.note(err, "")
	return nil, false, err
}

// Try makes a call as Client.Call does. No error has been noted.
func (e *Examiner) Try(ctx context.Context, r Request) (*strictjson.Node, error) {
	e.heard = heard{}
	return e.client.call(ctx, e.sessions, r, e.hear(jsonError))
}

// Heard notes an error that Try returned, or that was found in an answer, as Ask does.
func (e *Examiner) Heard(err error) error {
	if err != nil {
		e.note(err, "")
	}
	return err
}

// hear lets the examiner listen to what an error is told as.
func (e *Examiner) hear(explain explainer) explainer {
	return func(a *wire.Answer) (code, message string) {
		code, message = explain(a)
		e.heard = heard{code, message}
		if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
			e.out.Time = date
		}
		return code, message
	}
}

// login gets credentials, and assumes one role after the other, so that it is known which of them fails.
func (e *Examiner) login(ctx context.Context) bool {
	var chain []*assumer
	first := e.client.sessions
	for {
		a, ok := first.provider.(*assumer)
		if !ok {
			break
		}
		chain, first = append([]*assumer{a}, chain...), a.from
	}
	e.sessions = first
	if _, err := first.get(ctx); err != nil {
		e.note(err, "")
		return false
	}
	for _, a := range chain {
		own := *a
		own.from, own.explain = e.sessions, e.hear(xmlError)
		e.sessions, e.heard = newSessions(&own, own.wall), heard{}
		if _, err := e.sessions.get(ctx); err != nil {
			e.note(err, a.role.Key)
			return false
		}
		e.Good("it lets us assume %s", a.role.ARN)
	}
	return true
}

// note adds the trouble that an error is; role is the key of the role that was to be assumed, "" where none was.
func (e *Examiner) note(err error, role string) {
	e.out.Troubles = append(e.out.Troubles, e.client.diagnose(err, e.heard, role))
}
