package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

const internalMessage = "internal error; the log of the server has the details"

// challenges are the error codes of RFC 6750 section 3.1 for what is answered with 401.
var challenges = map[api.Code]string{
	api.Unauthenticated: `Bearer realm="keyhole"`,
	api.TokenExpired:    `Bearer realm="keyhole", error="invalid_token", error_description="the token has expired"`,
	api.TokenInvalid:    `Bearer realm="keyhole", error="invalid_token"`,
	api.TokenRevoked:    `Bearer realm="keyhole", error="invalid_token", error_description="the token is revoked"`,
	api.UnknownKey:      `Bearer realm="keyhole", error="invalid_token", error_description="unknown key"`,
}

// awsErrors are the statuses and types of the AWS dialect: those of the services where AWS has a word for it, else those
// of its agent. A code without a type is answered in plain text, as the agent answers what it does not understand. What
// is not listed is an InternalFailure.
var awsErrors = map[api.Code]awsError{
	api.InvalidRequest:   {http.StatusBadRequest, ""},
	api.UnknownParameter: {http.StatusBadRequest, ""},
	api.UnknownRoute:     {http.StatusNotFound, ""},
	api.MethodNotAllowed: {http.StatusMethodNotAllowed, ""},
	api.NotReady:         {http.StatusBadRequest, ""},
	api.InvalidPath:      {http.StatusBadRequest, "ValidationException"},

	api.Unauthenticated: {http.StatusUnauthorized, "UnrecognizedClientException"},
	api.TokenExpired:    {http.StatusUnauthorized, "ExpiredTokenException"},
	api.TokenInvalid:    {http.StatusUnauthorized, "UnrecognizedClientException"},
	api.TokenRevoked:    {http.StatusUnauthorized, "UnrecognizedClientException"},
	api.UnknownKey:      {http.StatusUnauthorized, "UnrecognizedClientException"},

	api.ScopeDenied:      {http.StatusBadRequest, "AccessDeniedException"},
	api.PolicyDenied:     {http.StatusBadRequest, "AccessDeniedException"},
	api.Revoked:          {http.StatusBadRequest, "AccessDeniedException"},
	api.ApprovalRequired: {http.StatusBadRequest, "AccessDeniedException"},
	api.NotFound:         {http.StatusBadRequest, "ResourceNotFoundException"},
	api.RateLimited:      {http.StatusTooManyRequests, "ThrottlingException"},

	api.UpstreamError:     {http.StatusBadGateway, "ConnectionError"},
	api.UpstreamTimeout:   {http.StatusGatewayTimeout, "TimeoutError"},
	api.AuditUnavailable:  {http.StatusServiceUnavailable, "ServiceUnavailable"},
	api.StateUnavailable:  {http.StatusServiceUnavailable, "ServiceUnavailable"},
	api.PolicyUnavailable: {http.StatusServiceUnavailable, "ServiceUnavailable"},
	api.Overloaded:        {http.StatusServiceUnavailable, "ServiceUnavailable"},
}

// WriteError is for other listeners: they answer a failure as the native API does.
func WriteError(w http.ResponseWriter, err error) {
	setPrivate(w.Header())
	writeError(w, err)
}

// setPrivate sets what every answer carries.
func setPrivate(h http.Header) {
	h["Cache-Control"] = headerPrivate
	h["X-Content-Type-Options"] = headerNosniff
}

// writeError answers with the native dialect's error shape. Anything that is not a *proxy.Error is a bare 500.
func writeError(w http.ResponseWriter, err error) {
	e := errorOf(err)
	body := api.ErrorBody{Error: shown(e)}
	h := w.Header()
	if c, ok := challenges[e.Code]; ok {
		h.Set("WWW-Authenticate", c)
	}
	setAdvice(h, e)
	if e.Cache != "" {
		h["X-Keyhole-Cache"] = []string{e.Cache}
		h["Age"] = []string{ageText(e.Age)}
	}
	writeJSON(w, e.Code.Status(), body)
}

// setAdvice sets the headers that say when to try again and where the record is.
func setAdvice(h http.Header, e *proxy.Error) {
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if e.Decision != "" {
		h["X-Keyhole-Decision"] = []string{e.Decision}
	}
}

func errorOf(err error) *proxy.Error {
	var e *proxy.Error
	if !errors.As(err, &e) {
		return &proxy.Error{Code: api.Internal, Message: internalMessage}
	}
	return e
}

// shown is what a caller sees of an error.
func shown(e *proxy.Error) api.Error {
	return api.Error{Code: e.Code, Message: e.Message, Decision: e.Decision, Rule: e.Rule, RetryAfterMS: e.RetryAfter.Milliseconds()}
}

// writeJSON is for answers without secret values.
func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"`+internalMessage+`"}}`)
	}
	b = append(b, '\n')
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }
