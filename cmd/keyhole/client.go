package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// maxAnswerBytes bounds what a server may send: a value of 512 KiB, escaped.
const maxAnswerBytes = 8 << 20

// client speaks the native API.
type client struct {
	base   string
	token  string
	http   *http.Client
	config *config.Config // of the directory; nil where only a URL is known
	close  func() error

	lacking bool // the server is known to ask for a client certificate, and there is none to show
}

// newClient takes only URLs over which a token may travel: HTTPS, or plain HTTP to this machine or where the operator
// typed it so.
func newClient(base, token string, transport http.RoundTripper) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usage("URL %q: want http(s)://HOST[:PORT]", base)
	}
	return &client{
		base: strings.TrimSuffix(base, "/"), token: token, close: func() error { return nil },
		http: &http.Client{
			Transport: transport, Timeout: 30 * time.Second,
			// A redirect would carry the token to whoever the answer names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// do sends one request and reads the whole answer. An answer that is no success is a failure.
func (c *client) do(ctx context.Context, method, target string, body []byte) (int, []byte, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, in)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	status, answer, err := c.send(req)
	if err != nil {
		return 0, nil, err
	}
	if status >= 300 {
		var e api.ErrorBody
		if json.Unmarshal(answer, &e) != nil || e.Error.Code == "" {
			e.Error = api.Error{Code: "unknown", Message: fmt.Sprintf("%s answered %d %s, and not as a Keyhole server does", c.base, status, http.StatusText(status))}
		}
		return status, nil, refused(status, e.Error)
	}
	return status, answer, nil
}

// send sends a request with the client's token, if it has one, and reads the whole answer, whatever it is.
func (c *client) send(req *http.Request) (int, []byte, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "keyhole-cli/"+version())
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		hint := "is the server running, and is the URL right?"
		if refusesIdentity(err, c.lacking) {
			hint = certificateHint
		}
		return 0, nil, &failure{code: exitUnavailable, err: fmt.Errorf("asking %s: %w", c.base, err), hint: hint}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil || len(answer) > maxAnswerBytes {
		return 0, nil, &failure{code: exitUnavailable, err: fmt.Errorf("reading the answer of %s failed or it is too large", c.base)}
	}
	return resp.StatusCode, answer, nil
}

// secretURL is the target of one secret. Paths need no escaping: their alphabet is that of URLs.
func secretURL(path string) string { return "/v1/secrets/" + path }
