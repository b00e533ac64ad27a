// Package extensionapi is the client of the Lambda Extensions API (2020-01-01): it tells Lambda that an extension is ready,
// hears of invocations and of the end, and says what went wrong.
package extensionapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

// The types of events.
const (
	Invoke   = "INVOKE"
	Shutdown = "SHUTDOWN"
)

// ErrRefused is wrapped where the API does not take a call: nothing that comes later will be taken either.
var ErrRefused = errors.New("the Extensions API refuses the call")

// maxAnswerBytes is far above the largest answer of the API.
const maxAnswerBytes = 64 << 10

// Client is one extension. It is not safe for concurrent use.
type Client struct {
	base string // URL
	name string
	id   string // given by Register
	http *http.Client
}

// New makes the client of the extension called name, which must be that of its file, at the API's address, the value of
// AWS_LAMBDA_RUNTIME_API. It calls nobody.
func New(address, name string) *Client {
	// Next waits for as long as there is nothing to do, frozen or not: there is no timeout but the caller's context.
	return &Client{base: "http://" + address + "/2020-01-01/extension/", name: name, http: &http.Client{Transport: &http.Transport{}}}
}

// Function is what is known of the function beside the extension.
type Function struct {
	Name      string `json:"functionName"`
	Version   string `json:"functionVersion"`
	Handler   string `json:"handler"`
	AccountID string `json:"accountId"` // "" where the API does not tell
}

// Register says that the extension is ready, and which events it wants to hear of. The runtime is not started before.
func (c *Client) Register(ctx context.Context, events ...string) (Function, error) {
	list := []byte(`{"events":[`)
	for i, e := range events {
		if i > 0 {
			list = append(list, ',')
		}
		list = jsontext.AppendString(list, e)
	}
	list = append(list, "]}"...)
	var f Function
	h, err := c.call(ctx, http.MethodPost, "register", list, &f, "Lambda-Extension-Name", c.name, "Lambda-Extension-Accept-Feature", "accountId")
	if err != nil {
		return f, fmt.Errorf("registering: %w", err)
	}
	if c.id = h.Get("Lambda-Extension-Identifier"); c.id == "" {
		return f, fmt.Errorf("registering: %w: it gives no identifier", ErrRefused)
	}
	return f, nil
}

// Event is what Lambda tells an extension.
type Event struct {
	Type       string `json:"eventType"`
	DeadlineMS int64  `json:"deadlineMs"`     // Unix time in milliseconds
	Reason     string `json:"shutdownReason"` // SPINDOWN, TIMEOUT or FAILURE, of Shutdown
}

// Next says that the extension is done with what it was told, and waits for the next event. Between the two the process
// may be frozen.
func (c *Client) Next(ctx context.Context) (Event, error) {
	var e Event
	if _, err := c.call(ctx, http.MethodGet, "event/next", nil, &e, "Lambda-Extension-Identifier", c.id); err != nil {
		return e, fmt.Errorf("waiting for an event: %w", err)
	}
	return e, nil
}

// InitError says why the extension cannot start: the function does not start then. It must have been registered.
func (c *Client) InitError(ctx context.Context, kind string, reason error) error {
	return c.failed(ctx, "init/error", kind, reason)
}

// ExitError says why the extension ends before it is told to.
func (c *Client) ExitError(ctx context.Context, kind string, reason error) error {
	return c.failed(ctx, "exit/error", kind, reason)
}

func (c *Client) failed(ctx context.Context, path, kind string, reason error) error {
	body := jsontext.AppendString([]byte(`{"errorType":`), kind)
	body = jsontext.AppendString(append(body, `,"errorMessage":`...), reason.Error())
	body = append(body, `,"stackTrace":[]}`...)
	_, err := c.call(ctx, http.MethodPost, path, body, nil, "Lambda-Extension-Identifier", c.id, "Lambda-Extension-Function-Error-Type", kind)
	return err
}

// call sends one request with these headers, and reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, body []byte, out any, headers ...string) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("%w: status %d", ErrRefused, resp.StatusCode)
	case out != nil:
		if err := json.Unmarshal(answer, out); err != nil {
			return nil, fmt.Errorf("%w: an answer that is not JSON", ErrRefused)
		}
	}
	return resp.Header, nil
}
