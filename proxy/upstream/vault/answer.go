package vault

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// answer is what the vault sent, parsed. The caller wipes it.
type answer struct {
	status  int
	login   bool             // it is about the login that the request carried, which failed
	root    *strictjson.Node // an object; nil where there was no body or not such a one
	hasBody bool
	bulky   bool      // it was an answer in JSON, but of more values, or deeper, than we take apart
	date    time.Time // by the clock of whoever answered, to the second; zero where it does not say
}

func newAnswer(got *wire.Answer) *answer {
	a := &answer{status: got.Status, hasBody: len(got.Body) > 0}
	if date, err := http.ParseTime(got.Header.Get("Date")); err == nil {
		a.date = date
	}
	// Names of fields are the user's: two of them may differ in case only.
	root, err := strictjson.Parse(got.Body, strictjson.Limits{Bytes: maxBody, Depth: 100, ExactNames: true})
	if err == nil && root.Kind == strictjson.Object {
		a.root = root
	} else if err == nil {
		root.Wipe()
	}
	a.bulky = errors.Is(err, strictjson.ErrTooLarge)
	// Depending on how the login failed, OpenBao says so in a header or in a sentence.
	a.login = got.Header.Get("X-Vault-Inline-Auth-Failed") != "" || a.reports("failed to perform inline authentication")
	return a
}

func (a *answer) wipe() {
	if a.root != nil {
		a.root.Wipe()
	}
}

// check is nil for an answer that has what was asked for. What the status of a failure means is documented in the API of
// Vault and OpenBao; that a 403 and a 404 are the vault's own words shows in their bodies.
func (a *answer) check() error {
	switch {
	case a.login:
		return fmt.Errorf("%w: it answered %d", ErrLogin, a.status)
	case a.status == http.StatusOK:
		return a.checkEnvelope()
	case a.status == http.StatusNoContent && !a.hasBody:
		return nil
	case a.status == http.StatusNotFound:
		return a.missing()
	case a.status == http.StatusForbidden && a.own() && len(a.errors()) > 0:
		return errRefused
	case a.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: a quota is exhausted", secret.ErrThrottled)
	case a.status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w for this vault", secret.ErrTooLarge)
	case a.status == http.StatusBadRequest && a.reports("check-and-set parameter did not match"):
		return secret.ErrConflict
	case 300 <= a.status && a.status < 400:
		return fmt.Errorf("%w: it sends elsewhere (%d), where the token must not go; set the address of the node itself", secret.ErrUnavailable, a.status)
	}
	// 412: a replica has not caught up; 472, 473: a replica that does not serve this; 503: sealed, or in maintenance.
	return fmt.Errorf("%w: it answered %d", secret.ErrUnavailable, a.status)
}

func (a *answer) checkEnvelope() error {
	if a.bulky { // one object's fault: the vault itself is well
		return fmt.Errorf("%w: it has too many parts, or nests them too deep", secret.ErrTooLarge)
	}
	if a.root == nil {
		return fmt.Errorf("%w: no JSON object", ErrMalformed)
	}
	if id := a.root.Get("lease_id"); id != nil && len(id.Text) > 0 {
		return secret.ErrLeased
	}
	if w := a.root.Get("wrap_info"); w != nil && w.Kind != strictjson.Null {
		return fmt.Errorf("%w: it is wrapped", ErrMalformed)
	}
	return nil
}

// missing reads a 404. The vault itself knows no such secret where it reports no error and no warning, or where it shows
// the metadata of a version that was deleted or destroyed. A warning says that the engine is of another version.
func (a *answer) missing() error {
	if a.root == nil {
		return fmt.Errorf("%w (404, not in the vault's words)", ErrNoRoute)
	}
	if e := a.root.Get("errors"); e != nil {
		warnings := a.root.Get("warnings")
		if a.own() && e.Kind == strictjson.Array && len(e.Elems) == 0 && (warnings == nil || len(warnings.Elems) == 0) {
			return secret.ErrNotFound
		}
		return ErrNoRoute
	}
	data := a.root.Get("data")
	if data == nil || data.Kind != strictjson.Object {
		return ErrNoRoute
	}
	inner, meta := data.Get("data"), data.Get("metadata")
	if inner == nil || inner.Kind != strictjson.Null || meta == nil || meta.Kind != strictjson.Object {
		return ErrNoRoute
	}
	return secret.ErrNotFound
}

// own reports whether a failure is told as a vault tells it: errors, which are sentences, and what may stand beside them.
// Other services call theirs errors too, and a value that is cached must survive what a firewall says.
func (a *answer) own() bool {
	if a.root == nil {
		return false
	}
	for _, m := range a.root.Members {
		if m.Name != "errors" && m.Name != "warnings" && m.Name != "data" {
			return false
		}
	}
	return !slices.ContainsFunc(a.errors(), func(e strictjson.Node) bool { return e.Kind != strictjson.String })
}

// errors is the errors that a vault reports of itself; none where somebody else answered.
func (a *answer) errors() []strictjson.Node {
	if a.root == nil {
		return nil
	}
	if e := a.root.Get("errors"); e != nil && e.Kind == strictjson.Array {
		return e.Elems
	}
	return nil
}

// reports looks for one of the sentences that stand where there is no status for something.
func (a *answer) reports(sentence string) bool {
	return slices.ContainsFunc(a.errors(), func(e strictjson.Node) bool { return bytes.HasPrefix(e.Text, []byte(sentence)) })
}

// data is the object that the answer is about.
func (a *answer) data() (*strictjson.Node, error) {
	if a.root != nil {
		if d := a.root.Get("data"); d != nil && d.Kind == strictjson.Object {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%w: no data", ErrMalformed)
}
