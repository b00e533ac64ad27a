// Package api is the wire vocabulary of the native HTTP API, version 1: error codes and the documents that requests and
// answers carry. Documents that hold secret values are not structs: package httpapi writes those without copying.
package api

import "net/http"

// Code is the machine-readable name of an error; codes are part of the API and never change meaning.
type Code string

// The error codes, by HTTP status.
const (
	InvalidPath      Code = "invalid_path"      // 400
	InvalidRequest   Code = "invalid_request"   // 400
	UnknownParameter Code = "unknown_parameter" // 400
	InvalidScope     Code = "invalid_scope"     // 400

	Unauthenticated Code = "unauthenticated" // 401: no token
	TokenExpired    Code = "token_expired"   // 401
	TokenInvalid    Code = "token_invalid"   // 401
	TokenRevoked    Code = "token_revoked"   // 401: token_id or key_id
	UnknownKey      Code = "unknown_key"     // 401: the key may appear soon

	ScopeDenied      Code = "scope_denied"      // 403
	PolicyDenied     Code = "policy_denied"     // 403
	Revoked          Code = "revoked"           // 403: subject, trust rule or secret
	ApprovalRequired Code = "approval_required" // 403

	NotFound             Code = "not_found"              // 404
	UnknownRoute         Code = "unknown_route"          // 404
	MethodNotAllowed     Code = "method_not_allowed"     // 405
	VersionConflict      Code = "version_conflict"       // 409
	TooLarge             Code = "too_large"              // 413
	UnsupportedMediaType Code = "unsupported_media_type" // 415
	RateLimited          Code = "rate_limited"           // 429

	Internal          Code = "internal"           // 500
	UpstreamError     Code = "upstream_error"     // 502
	UpstreamTimeout   Code = "upstream_timeout"   // 504
	AuditUnavailable  Code = "audit_unavailable"  // 503
	StateUnavailable  Code = "state_unavailable"  // 503
	PolicyUnavailable Code = "policy_unavailable" // 503
	Overloaded        Code = "overloaded"         // 503
	NotReady          Code = "not_ready"          // 503
)

// Error is the body of every answer that is not a success: {"error":{…}}.
type Error struct {
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	Decision     string `json:"decision,omitempty"`
	Rule         string `json:"rule,omitempty"`
	Request      string `json:"request,omitempty"` // id of the approval request
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

// ErrorBody wraps Error.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Written answers a PUT.
type Written struct {
	Data struct {
		Path    string `json:"path"`
		Version string `json:"version"`
	} `json:"data"`
}

// Invalidated answers POST /v1/invalidations and POST /v1/hooks/{name}.
type Invalidated struct {
	Data struct {
		Generation uint64 `json:"generation"` // of the node that answers, after the change
	} `json:"data"`
}

// ListItem is one secret of a listing: never its value.
type ListItem struct {
	Path      string            `json:"path"`
	Mount     string            `json:"mount"`
	Version   string            `json:"version,omitempty"`
	UpdatedAt string            `json:"updated_at,omitempty"` // RFC 3339, UTC
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// List answers GET /v1/secrets.
type List struct {
	Data     []ListItem `json:"data"`
	NextPage string     `json:"next_page,omitempty"`
}

// Version is one version of a secret: never its value.
type Version struct {
	Version   string `json:"version"`
	CreatedAt string `json:"created_at"` // RFC 3339, UTC
	State     string `json:"state"`      // current | previous | old | destroyed
}

// Versions answers GET /v1/secrets/{path}:versions, the newest version first.
type Versions struct {
	Data []Version `json:"data"`
}

// Explain answers POST /v1/explain.
type Explain struct {
	Data Explanation `json:"data"`
}

// Explanation is the decision that an action on a path would get.
type Explanation struct {
	Path         string `json:"path"`
	Action       string `json:"action"`
	Effect       string `json:"effect"`         // allow | deny | require_approval
	Code         Code   `json:"code,omitempty"` // of the refusal
	Rule         string `json:"rule,omitempty"`
	Reason       string `json:"reason,omitempty"`
	PolicyDigest string `json:"policy_digest,omitempty"` // "" where no policy was asked
	Decision     string `json:"decision"`
}

// Whoami answers GET /v1/whoami.
type Whoami struct {
	Data Identity `json:"data"`
}

// Identity is the caller as Keyhole sees it.
type Identity struct {
	Trust           string   `json:"trust"`
	Issuer          string   `json:"issuer"`
	Subject         string   `json:"subject"`
	ClientID        string   `json:"client_id,omitempty"`
	TokenID         string   `json:"token_id"`
	AuthenticatedBy string   `json:"authenticated_by"`
	Base            string   `json:"base,omitempty"`
	Scopes          []string `json:"scopes"`
	ExpiresAt       string   `json:"expires_at,omitempty"` // RFC 3339, UTC; absent where the proof ends with the process that has it
}

// Ready answers GET /readyz.
type Ready struct {
	Ready bool `json:"ready"`
}

// Status is the HTTP status of the code in the native dialect: the one table of the API's errors. Unknown codes are 500.
func (c Code) Status() int {
	switch c {
	case InvalidPath, InvalidRequest, UnknownParameter, InvalidScope:
		return http.StatusBadRequest
	case Unauthenticated, TokenExpired, TokenInvalid, TokenRevoked, UnknownKey:
		return http.StatusUnauthorized
	case ScopeDenied, PolicyDenied, Revoked, ApprovalRequired:
		return http.StatusForbidden
	case NotFound, UnknownRoute:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case VersionConflict:
		return http.StatusConflict
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case UnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case RateLimited:
		return http.StatusTooManyRequests
	case UpstreamError:
		return http.StatusBadGateway
	case UpstreamTimeout:
		return http.StatusGatewayTimeout
	case AuditUnavailable, StateUnavailable, PolicyUnavailable, Overloaded, NotReady:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
