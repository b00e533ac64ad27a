package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
)

// keyEnv is the variable with the key of a client, as "keyhole key new" prints it.
const keyEnv = "KEYHOLE_KEY"

// grantTTL is what a command asks for: it is done within seconds.
const grantTTL = "60"

// clientKey is the key of the environment, nil where there is none.
func clientKey() (*app.ClientKey, error) {
	text := os.Getenv(keyEnv)
	if text == "" {
		return nil, nil
	}
	key, err := app.ParseClientKey([]byte(text))
	if err != nil {
		return nil, usage("%s: %w", keyEnv, err)
	}
	return key, nil
}

// grant gets the client an access token for no more than these scopes: it says by its key who it is (RFC 7523), to the
// server that its metadata names (RFC 8414). A listing reaches over more than the client may see of it: where nothing covers
// the scopes whole, the token has all that the client is granted, and the server decides.
func (c *client) grant(ctx context.Context, key *app.ClientKey, scopes string) error {
	_, body, err := c.do(ctx, http.MethodGet, "/.well-known/oauth-authorization-server", nil)
	if err != nil {
		return err
	}
	var server api.ServerMetadata
	if json.Unmarshal(body, &server) != nil || server.Issuer == "" {
		return fmt.Errorf("%s does not say which issuer it is, so nothing can be signed for it", c.base)
	}
	status, answer, err := c.askToken(ctx, key, server.Issuer, scopes)
	if err == nil && status != http.StatusOK && oauthError(answer).Error == "invalid_scope" {
		status, answer, err = c.askToken(ctx, key, server.Issuer, "")
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return notGranted(status, answer, key)
	}
	var issued api.IssuedToken
	if json.Unmarshal(answer, &issued) != nil || issued.AccessToken == "" {
		return errors.New("the server's answer is not an access token")
	}
	c.token = issued.AccessToken
	return nil
}

// askToken asks for a token with these scopes, "" for all, by an assertion of its own.
func (c *client) askToken(ctx context.Context, key *app.ClientKey, audience, scopes string) (int, []byte, error) {
	assertion, err := key.Assertion(audience, time.Now())
	if err != nil {
		return 0, nil, err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
		"expires_in":            {grantTTL},
	}
	if scopes != "" {
		form.Set("scope", scopes)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.send(req)
}

func oauthError(answer []byte) (e api.OAuthError) {
	_ = json.Unmarshal(answer, &e)
	return e
}

// notGranted turns an answer of the token endpoint that is no success into a failure.
func notGranted(status int, answer []byte, key *app.ClientKey) error {
	e := oauthError(answer)
	if e.Error == "" {
		e = api.OAuthError{Error: "unknown", Description: fmt.Sprintf("the token endpoint answered %d, and not as a Keyhole server does", status)}
	}
	f := &failure{code: exitFailed, err: fmt.Errorf("no access token for client %s: %s: %s", key.ClientID(), e.Error, e.Description)}
	switch {
	case e.Error == "invalid_client":
		f.code = exitDenied
		f.hint = fmt.Sprintf(`is key %s registered? on the server's machine: keyhole trust add-key; and is this machine's clock right?`, key.KeyID())
	case status == http.StatusTooManyRequests || status >= http.StatusBadGateway:
		f.code = exitUnavailable
	}
	return f
}
