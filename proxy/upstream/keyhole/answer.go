package keyhole

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxBody bounds an answer: the largest secret with every byte escaped, and what stands around it.
const maxBody = 6*secret.MaxValueBytes + 1<<20

// answer is what the other node sent, parsed. Whoever has it wipes it.
type answer struct {
	status int
	root   *strictjson.Node // an object; nil where there was no body or not such a one
	header http.Header
}

func newAnswer(got *wire.Answer) *answer {
	a := &answer{status: got.Status, header: got.Header}
	// Names of fields are the user's: two of them may differ in case only.
	root, err := strictjson.Parse(got.Body, strictjson.Limits{Bytes: maxBody, Depth: 16, ExactNames: true})
	if err == nil && root.Kind == strictjson.Object {
		a.root = root
	} else if err == nil {
		root.Wipe()
	}
	return a
}

func (a *answer) wipe() {
	if a.root != nil {
		a.root.Wipe()
	}
}

// code is the error that the answer tells in the words of a Keyhole, whose status it has to have; "" where it is none.
func (a *answer) code() api.Code {
	if a.root == nil || len(a.root.Members) != 1 {
		return ""
	}
	e := a.root.Get("error")
	if e == nil || e.Kind != strictjson.Object {
		return ""
	}
	text, _ := e.Get("code").Str()
	code := api.Code(text)
	if code.Status() != a.status || a.status == http.StatusInternalServerError && code != api.Internal {
		return "" // codes that are none have that status
	}
	return code
}

// check is nil for an answer that has what was asked for.
func (a *answer) check() error {
	code := a.code()
	switch {
	case a.status == http.StatusOK && a.root != nil:
		return nil
	case a.status == http.StatusOK:
		return ErrMalformed
	case a.status == http.StatusUnauthorized:
		return errUnauthorized
	case a.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: we ask too often", secret.ErrThrottled)
	case 300 <= a.status && a.status < 400:
		return fmt.Errorf("%w: it sends elsewhere (%d), where the token must not go; set the address of the node itself", secret.ErrUnavailable, a.status)
	case code == "":
		return fmt.Errorf("%w (%d)", ErrMalformed, a.status)
	}
	switch code {
	case api.NotFound:
		return secret.ErrNotFound
	case api.Revoked:
		return fmt.Errorf("%w (%s)", errDenied, code) // no token of ours helps against it
	case api.ScopeDenied, api.PolicyDenied, api.ApprovalRequired:
		return fmt.Errorf("%w (%s)", errRefused, code)
	case api.MethodNotAllowed:
		return secret.ErrUnsupported
	case api.TooLarge:
		return fmt.Errorf("%w for the other node", secret.ErrTooLarge)
	case api.UpstreamError:
		return fmt.Errorf("%w: its own vault fails", secret.ErrUnreadable)
	case api.UpstreamTimeout:
		return fmt.Errorf("%w: its own vault: %w", secret.ErrUnreadable, secret.ErrTimeout)
	case api.InvalidPath, api.InvalidRequest, api.UnknownParameter:
		return fmt.Errorf("%w: it does not accept the request (%s)", secret.ErrUnreadable, code)
	}
	return fmt.Errorf("%w: it answered %d (%s)", secret.ErrUnavailable, a.status, code)
}

// data is the member of that name, which is of that kind.
func (a *answer) data(kind strictjson.Kind) (*strictjson.Node, error) {
	if d := a.root.Get("data"); d != nil && d.Kind == kind {
		return d, nil
	}
	return nil, malformed("data")
}

// wait is how long the answer asks to be left alone; 0 where it does not (RFC 9110 section 10.2.3, in seconds: a Keyhole
// gives no dates).
func (a *answer) wait() time.Duration {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
		return 0
	}
	seconds, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
