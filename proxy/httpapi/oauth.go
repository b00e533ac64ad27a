package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// oauthError is an error that has no code of the native API.
type oauthError struct {
	code    string // of RFC 6749 section 5.2 or RFC 8693 section 2.2.2
	status  int
	message string
	cause   error // what it was in the native API; may be nil
}

func (e *oauthError) Error() string { return e.code + ": " + e.message }
func (e *oauthError) Unwrap() error { return e.cause }

func oauthFail(code string, status int, message string) error {
	return &oauthError{code, status, message, nil}
}

// forGrant translates what became of a token. RFC 8693 section 2.2.2 wants invalid_request for whatever is wrong with a
// subject token; a client whose assertion is refused is an invalid_client (RFC 6749 section 5.2).
func forGrant(err error, assertion bool) error {
	e := errorOf(err)
	status := e.Code.Status()
	switch {
	case errors.Is(err, proxy.ErrNotIssuing):
		return &oauthError{"unsupported_grant_type", http.StatusBadRequest, e.Message, err}
	case assertion && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return &oauthError{"invalid_client", http.StatusUnauthorized, e.Message, err}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &oauthError{"invalid_request", http.StatusBadRequest, e.Message, err}
	}
	return err
}

// writeOAuthError answers with the error shape of RFC 6749 section 5.2.
func writeOAuthError(w http.ResponseWriter, err error) {
	native := errorOf(err)
	o := (*oauthError)(nil)
	if !errors.As(err, &o) {
		o = &oauthError{oauthCode(native.Code), native.Code.Status(), native.Message, nil}
	} else if o.cause == nil {
		native = &proxy.Error{}
	}
	h := w.Header()
	setAdvice(h, native)
	if o.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="keyhole", error="`+o.code+`"`)
	}
	writeJSON(w, o.status, api.OAuthError{Error: o.code, Description: strings.Map(describing, o.message)})
}

// describing keeps what may stand in an error_description (RFC 6749 section 5.2): ASCII without quotes and backslashes,
// which a message has where it repeats what was sent.
func describing(r rune) rune {
	switch {
	case r == '"':
		return '\''
	case r < ' ', r == '\\', r > '~':
		return '?'
	}
	return r
}

func oauthCode(c api.Code) string {
	switch status := c.Status(); {
	case c == api.InvalidScope:
		return "invalid_scope"
	case status == http.StatusInternalServerError:
		return "server_error"
	case status == http.StatusTooManyRequests, status > http.StatusInternalServerError:
		return "temporarily_unavailable"
	}
	return "invalid_request"
}
