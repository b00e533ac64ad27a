package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/internal/keeper"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Source reads a credential at the moment of its use, so that one that was exchanged is seen. White space around it is
// left out. The caller owns the bytes.
type Source func() ([]byte, error)

// Login is a way to get a token. The zero Login is none.
type Login struct {
	path   string // of the auth method's login; "" for a token that exists already
	params []param
}

type param struct {
	name  string
	value Source
}

// TokenFrom uses a token that somebody else gets and keeps alive, such as an agent that writes it into a file. The token
// must be allowed to look itself up, as the policy "default" allows.
func TokenFrom(token Source) Login { return Login{params: []param{{"token", token}}} }

// AppRole logs in as a role with a secret id, at the auth method mounted at mount.
func AppRole(mount string, roleID, secretID Source) Login {
	return Login{path: mount, params: []param{{"role_id", roleID}, {"secret_id", secretID}}}
}

// JWT logs in as a role with a JSON Web Token, at an auth method of type jwt or kubernetes mounted at mount.
func JWT(mount, role string, token Source) Login {
	return Login{path: mount, params: []param{
		{"role", func() ([]byte, error) { return []byte(role), nil }}, {"jwt", token},
	}}
}

func (l Login) check(inline bool) error {
	switch {
	case len(l.params) == 0:
		return errors.New("there is no login")
	case l.path == "" && inline:
		return errors.New("a token that exists already is no inline login")
	case l.path == "":
		return nil
	}
	if _, err := secret.ParsePath(l.path); err != nil {
		return fmt.Errorf("the mount of the auth method: %w", err)
	}
	return nil
}

// maxCredential bounds a credential: tokens have some kilobytes at the most.
const maxCredential = 16 << 10

func (p param) read() ([]byte, error) {
	b, err := p.value()
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrLogin, p.name, err)
	}
	if trimmed := bytes.TrimSpace(b); 0 < len(trimmed) && len(trimmed) <= maxCredential {
		return trimmed, nil
	}
	clear(b)
	return nil, fmt.Errorf("%w: %s is empty or longer than %d bytes", ErrLogin, p.name, maxCredential)
}

// begin gets a token.
func (l Login) begin(ctx context.Context, w *vaultWire, now time.Time) (*session, error) {
	if l.path == "" {
		return l.lookUp(ctx, w, now)
	}
	body, err := l.body()
	if err != nil {
		return nil, err
	}
	defer clear(body)
	a, err := w.send(ctx, request{method: http.MethodPost, path: "auth/" + l.path + "/login", body: body})
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	defer a.wipe()
	if err := a.checkLogin(); err != nil {
		return nil, err
	}
	return a.session(now)
}

// body is the login as JSON. It is made in one piece, so that no copy is left behind.
func (l Login) body() ([]byte, error) {
	b := append(make([]byte, 0, 64+len(l.params)*(64+6*maxCredential)), '{')
	for i, p := range l.params {
		value, err := p.read()
		if err != nil {
			clear(b)
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsontext.AppendString(b, p.name), ':')
		b = jsontext.AppendString(b, value)
		clear(value)
	}
	return append(b, '}'), nil
}

// lookUp takes a token as it is and asks when it ends. A token that the vault does not know is a failed login.
func (l Login) lookUp(ctx context.Context, w *vaultWire, now time.Time) (*session, error) {
	token, err := l.params[0].read()
	if err != nil {
		return nil, err
	}
	s := &session{token: secret.NewValue(token), Life: keeper.Life{Since: now}, vouched: true}
	a, err := s.lookUp(ctx, w)
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return nil, fmt.Errorf("looking up our token: %w", err)
	}
	return s, s.life(data, "ttl")
}

// lookUp asks the vault about a session. That it does not know it, or does not let it ask, is ErrLogin.
func (s *session) lookUp(ctx context.Context, w *vaultWire) (*answer, error) {
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	a, err := w.send(ctx, request{method: http.MethodGet, path: "auth/token/lookup-self", header: header})
	if err != nil {
		return nil, fmt.Errorf("looking up our token: %w", err)
	}
	if err := a.checkLogin(); err != nil {
		a.wipe()
		return nil, err
	}
	return a, nil
}

// known is lookUp for nothing but whether there is an answer.
func (s *session) known(ctx context.Context, w *vaultWire) error {
	a, err := s.lookUp(ctx, w)
	if err == nil {
		a.wipe()
	}
	return err
}

// renew makes a session live on.
func (s *session) renew(ctx context.Context, w *vaultWire, now time.Time) (*session, error) {
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	a, err := w.send(ctx, request{method: http.MethodPost, path: "auth/token/renew-self", body: []byte("{}"), header: header})
	if err != nil {
		return nil, fmt.Errorf("renewing our token: %w", err)
	}
	defer a.wipe()
	if err := a.checkLogin(); err != nil {
		return nil, err
	}
	return a.session(now)
}

// checkLogin is check for the answer to a login: whatever the vault says there, it says nothing about a secret.
func (a *answer) checkLogin() error {
	switch err := a.check(); {
	case err == nil && a.root == nil:
		return fmt.Errorf("%w: a login without an answer", ErrMalformed)
	case err == nil, errors.Is(err, secret.ErrThrottled), a.status >= 500:
		return err
	case a.status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrLogin, ErrNoRoute)
	default:
		return fmt.Errorf("%w: it answered %d", ErrLogin, a.status)
	}
}

// session reads the token of an answer to a login or a renewal.
func (a *answer) session(now time.Time) (*session, error) {
	auth := a.root.Get("auth")
	if auth == nil || auth.Kind != strictjson.Object {
		return nil, fmt.Errorf("%w: a login without a token", ErrMalformed)
	}
	token := auth.Get("client_token")
	if token == nil || token.Kind != strictjson.String || len(token.Text) == 0 {
		return nil, fmt.Errorf("%w: a login without a token", ErrMalformed)
	}
	s := &session{token: secret.NewValue(bytes.Clone(token.Text)), Life: keeper.Life{Since: now}}
	return s, s.life(auth, "lease_duration")
}

// life reads how long a token lives.
func (s *session) life(n *strictjson.Node, ttl string) error {
	seconds, ok := n.Get(ttl).Int64()
	if !ok || seconds < 0 || seconds > 1<<32 {
		return fmt.Errorf("%w: no time to live of a token", ErrMalformed)
	}
	s.TTL = time.Duration(seconds) * time.Second
	renewable := n.Get("renewable")
	s.renewable = renewable != nil && renewable.Bool
	return nil
}

// inlineHeader is the login as headers of a request, as OpenBao takes it.
func (l Login) inlineHeader() (http.Header, error) {
	h := http.Header{}
	h.Set("X-Vault-Inline-Auth-Path", "auth/"+l.path+"/login")
	for i, p := range l.params {
		value, err := p.read()
		if err != nil {
			return nil, err
		}
		text := append(make([]byte, 0, 64+jsonfields.QuotedLen(value)), `{"key":"`+p.name+`","value":`...)
		text = append(jsontext.AppendString(text, value), '}')
		clear(value)
		h.Set("X-Vault-Inline-Auth-Parameter-"+strconv.Itoa(i), base64.RawURLEncoding.EncodeToString(text))
		clear(text)
	}
	return h, nil
}
