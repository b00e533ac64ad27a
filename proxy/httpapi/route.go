package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	secretsPrefix = "/v1/secrets/"
	runtimePrefix = "/api/runtime/secrets/"
	hooksPrefix   = "/v1/hooks/"
	liftPrefix    = "/v1/revocations/"
	jwksPath      = "/.well-known/jwks.json"
)

var errBrowser = fail(api.PolicyDenied, "requests from browsers are refused: secrets are for servers, so there is no CORS here")

// route is the one router. It works on the path as net/url has decoded it, exactly once, and never cleans it: a mux
// would redirect "//" and "..", and take HEAD for GET.
func (n *Native) route(w http.ResponseWriter, r *http.Request) error {
	if _, ok := r.Header["Origin"]; ok {
		return errBrowser
	}
	if err := bodyless(w, r); err != nil {
		return err
	}
	path, err := decodedOnce(r.URL, secretsPrefix, runtimePrefix)
	if err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(path, secretsPrefix); ok {
		return n.secret(w, r, rest)
	}
	if rest, ok := strings.CutPrefix(path, runtimePrefix); ok {
		return n.runtimeSecret(w, r, rest)
	}
	if name, ok := strings.CutPrefix(path, hooksPrefix); ok && name != "" && !strings.Contains(name, "/") {
		return n.hook(w, r, name)
	}
	if id, ok := strings.CutPrefix(path, liftPrefix); ok && id != "" && !strings.Contains(id, "/") {
		return n.lift(w, r, id)
	}
	if path == "/v1/revocations" {
		return n.revocations(w, r)
	}
	var handle func(http.ResponseWriter, *http.Request) error
	method := http.MethodGet
	switch path {
	case "/v1/secrets":
		handle = n.list
	case "/v1/secrets:batchGet":
		handle, method = n.batchGet, http.MethodPost
	case "/v1/invalidations":
		handle, method = n.invalidate, http.MethodPost
	case "/v1/explain":
		handle, method = n.explain, http.MethodPost
	case "/v1/whoami":
		handle = n.whoami
	case "/healthz":
		handle = n.healthz
	case "/readyz":
		handle = n.readyz
	case tokenPath:
		handle, method = n.token, http.MethodPost
	case jwksPath:
		handle = n.wellKnownJWKS
	case "/.well-known/oauth-authorization-server":
		handle = n.metadata
	default:
		return fail(api.UnknownRoute, "no such route; see the API documentation for /v1")
	}
	if err := allow(w, r, method); err != nil {
		return err
	}
	return handle(w, r)
}

// decodedOnce leaves the prefixes as they were sent and decodes what follows them: an escaped prefix is no route.
func decodedOnce(u *url.URL, prefixes ...string) (string, error) {
	if u.RawPath == "" {
		return u.Path, nil
	}
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(u.RawPath, prefix); ok {
			text, err := url.PathUnescape(rest)
			if err != nil {
				return "", fail(api.InvalidPath, "a percent escape is malformed")
			}
			return prefix + text, nil
		}
	}
	return u.RawPath, nil
}

// bodyless refuses a body where the method has no use for one: two readers of the stream could disagree where it ends. For
// the same reason nothing is read behind a body in chunks: it may have had a Content-Length as well, of which net/http tells
// nothing, and then the connection has to be closed (RFC 9112 section 6.1).
func bodyless(w http.ResponseWriter, r *http.Request) error {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	if r.ContentLength == 0 || r.Method == http.MethodPut || r.Method == http.MethodPost {
		return nil
	}
	w.Header().Set("Connection", "close")
	return fail(api.InvalidRequest, "this method takes no body")
}

// secret serves /v1/secrets/{path} and its verbs.
func (n *Native) secret(w http.ResponseWriter, r *http.Request, rest string) error {
	name, verb, hasVerb := strings.Cut(rest, ":")
	if hasVerb {
		return n.verb(w, r, name, verb)
	}
	if err := allow(w, r, http.MethodGet, http.MethodPut, http.MethodDelete); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return n.put(w, r, name)
	case http.MethodDelete:
		return n.delete(w, r, name)
	}
	return n.get(w, r, name)
}

func (n *Native) verb(w http.ResponseWriter, r *http.Request, name, verb string) error {
	var handle func(http.ResponseWriter, *http.Request, string) error
	method := http.MethodPost
	switch verb {
	case "versions":
		handle, method = n.versions, http.MethodGet
	case "rollback":
		handle = n.rollback
	case "report":
		handle = n.report
	default:
		return fail(api.InvalidPath, fmt.Sprintf("%.40q is no verb of a secret", verb))
	}
	if err := allow(w, r, method); err != nil {
		return err
	}
	return handle(w, r, name)
}

func (n *Native) runtimeSecret(w http.ResponseWriter, r *http.Request, rest string) error {
	if strings.Contains(rest, ":") {
		return fail(api.InvalidPath, "a name holds no colon")
	}
	if err := allow(w, r, http.MethodGet); err != nil {
		return err
	}
	return n.getName(w, r, rest)
}

// parsePath is the one path parser of the surface.
func parsePath(s string) (secret.Path, error) {
	p, err := secret.ParsePath(s)
	if err != nil {
		return p, fail(api.InvalidPath, err.Error())
	}
	return p, nil
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) error {
	for _, m := range methods {
		if r.Method == m {
			return nil
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return fail(api.MethodNotAllowed, "this route takes "+strings.Join(methods, " and "))
}

func fail(code api.Code, message string) error { return &proxy.Error{Code: code, Message: message} }
