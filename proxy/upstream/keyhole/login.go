package keyhole

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxToken bounds a token, as the native API does.
const maxToken = 8 << 10

// Login is a way to get a token. The zero Login is none.
type Login struct {
	// begin returns a token and how long it lives; 0 where that is not known.
	begin func(context.Context, *Node) (secret.Value, time.Duration, error)
	done  func()
	kind  kind
}

// kind is what a checkup says of a login that fails.
type kind uint8

const (
	byToken kind = iota
	byKey
	byAWS
)

// Source reads a credential at the moment of its use, so that one that was exchanged is seen. White space around it is
// left out. The caller owns the bytes.
type Source func() ([]byte, error)

// CheckToken says what is wrong with what a Source has read, before anybody is asked. It does not quote it.
func CheckToken(text []byte) error { return checkToken(bytes.TrimSpace(text)) }

// TokenFrom uses a token that somebody else gets: it is read again when it is not taken any more.
func TokenFrom(token Source) Login {
	return Login{kind: byToken, begin: func(context.Context, *Node) (secret.Value, time.Duration, error) {
		b, err := token()
		if err != nil {
			return secret.Value{}, 0, fmt.Errorf("%w: reading the token: %w", ErrLogin, err)
		}
		trimmed := bytes.TrimSpace(b)
		if err := checkToken(trimmed); err != nil {
			clear(b)
			return secret.Value{}, 0, err
		}
		return secret.NewValue(trimmed), 0, nil
	}}
}

// Assertion exchanges what sign makes, a client's assertion by its key (RFC 7523), for an access token.
func Assertion(sign func(now time.Time) (string, error)) Login {
	return Login{kind: byKey, begin: func(ctx context.Context, n *Node) (secret.Value, time.Duration, error) {
		assertion, err := sign(n.wall())
		if err != nil {
			return secret.Value{}, 0, fmt.Errorf("%w: signing an assertion: %w", ErrLogin, err)
		}
		return n.exchange(ctx, assertion)
	}}
}

// WebIdentity sends the tokens that AWS gives its callers for others. It is closed with the Node.
func WebIdentity(w *awsjson.WebIdentity) Login {
	return Login{kind: byAWS, done: func() { _ = w.Close() }, begin: func(ctx context.Context, n *Node) (secret.Value, time.Duration, error) {
		asked := n.wall()
		token, ends, err := w.Token(ctx)
		if err != nil {
			return secret.Value{}, 0, err
		}
		return token, max(time.Second, ends.Sub(asked)), nil
	}}
}

// Close releases what the login holds. A Node that has it closes it.
func (l Login) Close() error {
	if l.done != nil {
		l.done()
	}
	return nil
}

// exchange gets an access token. An assertion is good once, so that nothing is sent twice.
func (n *Node) exchange(ctx context.Context, assertion string) (secret.Value, time.Duration, error) {
	none := secret.Value{}
	if err := n.grants.check(n.wall()); err != nil {
		return none, 0, err
	}
	a, err := n.send(ctx, request{method: http.MethodPost, path: "/v1/token", form: url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}.Encode()}, nil)
	if err != nil {
		return none, 0, fmt.Errorf("asking for a token: %w", err)
	}
	defer a.wipe()
	if err := a.checkGrant(); err != nil {
		return none, 0, n.grants.begin(n.wall(), a.wait(), err)
	}
	token, kind := a.root.Get("access_token"), a.root.Get("token_type")
	seconds, ok := a.root.Get("expires_in").Int64()
	if word, _ := kind.Str(); word != "Bearer" || token == nil || token.Kind != strictjson.String || len(token.Text) == 0 || len(token.Text) > maxToken ||
		!ok || seconds < 1 || seconds > 1e9 {
		return none, 0, fmt.Errorf("asking for a token: %w", malformed("access_token, token_type and expires_in"))
	}
	return secret.NewValue(bytes.Clone(token.Text)), time.Duration(seconds) * time.Second, nil
}

// checkGrant is check for the answer to a request for a token: whatever it says there, it says nothing about a secret.
func (a *answer) checkGrant() error {
	switch err := a.check(); {
	case err == nil, errors.Is(err, secret.ErrThrottled), a.status >= 500, a.status < 400:
		return err
	default:
		return fmt.Errorf("%w: it gives us no token (%d)", ErrLogin, a.status)
	}
}
