package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Error is why a request was not answered with what it asked for. Every error of Proxy's methods is one. Message is
// written for the caller; Cause is for the log only and must never be shown.
type Error struct {
	Code       api.Code
	Message    string
	Decision   string        // ULID of the decision, "" before one was made
	Rule       string        // NAME/RULE, where a policy decided
	RetryAfter time.Duration // 0: no advice
	Cache      string        // "negative" where it is remembered that there is no such secret, else ""
	Age        time.Duration // of what is remembered
	Cause      error
}

// Error gives code and message, never the cause.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap gives the cause to errors.Is and to the log.
func (e *Error) Unwrap() error { return e.Cause }

func fail(code api.Code, message string) *Error { return &Error{Code: code, Message: message} }

// because turns the error of a mechanism into the API's. It is the one place that knows both.
func because(err error) *Error {
	e := translate(err)
	e.Cause = err
	return e
}

const noSuchSecret = "no such secret or version"

func translate(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return &Error{Code: e.Code, Message: e.Message, Rule: e.Rule, RetryAfter: e.RetryAfter}
	}
	if n := (*cache.NegativeError)(nil); errors.As(err, &n) {
		e := fail(api.NotFound, noSuchSecret)
		e.Cache, e.Age = string(cache.Negative), n.Age
		return e
	}
	switch {
	case errors.Is(err, identity.ErrExpired):
		return fail(api.TokenExpired, "the token has expired; get a new one")
	case errors.Is(err, identity.ErrUnknownKey):
		e := fail(api.UnknownKey, "the token is signed by a key that is not known here")
		e.RetryAfter = 30 * time.Second
		if u := (*identity.UnknownKeyError)(nil); errors.As(err, &u) {
			e.RetryAfter = u.RetryAfter
		}
		return e
	case errors.Is(err, identity.ErrInvalid):
		return fail(api.TokenInvalid, "the token is not valid here; get a new one from the issuer this proxy trusts")

	// These come first: they may wrap a deadline of their own.
	case errors.Is(err, audit.ErrUnavailable):
		e := fail(api.AuditUnavailable, "the audit record could not be written, so nothing is released")
		e.RetryAfter = time.Second
		return e
	case errors.Is(err, state.ErrUnavailable), errors.Is(err, state.ErrCompacted):
		e := fail(api.StateUnavailable, "the shared state could not be read, so freshness cannot be promised")
		e.RetryAfter = time.Second
		return e

	case errors.Is(err, secret.ErrLeased):
		return fail(api.UpstreamError, "the upstream answers this path with a leased (dynamic) secret, which is not served here")
	case errors.Is(err, secret.ErrThrottled), errors.Is(err, secret.ErrDenied), errors.Is(err, secret.ErrUnavailable),
		errors.Is(err, cache.ErrBrokenLoad):
		return fail(api.UpstreamError, "the upstream failed and no cached value is within its bound")
	case errors.Is(err, secret.ErrNotFound):
		return fail(api.NotFound, noSuchSecret)
	case errors.Is(err, secret.ErrConflict):
		return fail(api.VersionConflict, "if_version does not name the current version; read it again and retry")
	case errors.Is(err, secret.ErrTooLarge):
		return fail(api.TooLarge, "the secret is larger than 512 KiB")
	case errors.Is(err, secret.ErrInvalidSecret):
		return fail(api.InvalidRequest, "the value, fields or metadata are outside the limits or not of a kind that the vault stores")
	case errors.Is(err, secret.ErrUnsupported):
		return fail(api.MethodNotAllowed, "the upstream of this path does not support the operation")
	case errors.Is(err, secret.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fail(api.UpstreamTimeout, "the upstream did not answer in time")
	case errors.Is(err, cache.ErrClosed):
		return fail(api.NotReady, "the server is going down")
	}
	return fail(api.Internal, "internal error; the log of the server has the details")
}
