package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// call gathers what the decision path must know of the request.
func (n *Native) call(r *http.Request) (proxy.Call, error) {
	token, err := Bearer(r.Header)
	if err != nil {
		return proxy.Call{}, err
	}
	return callOf(r, token, n.surface, n.source(r)), nil
}

// callOf is what every dialect tells of a request.
func callOf(r *http.Request, token, surface, source string) proxy.Call {
	return proxy.Call{
		Token: token, Surface: surface, SourceIP: source, UserAgent: r.UserAgent(),
		RequestID: first(r.Header["X-Request-Id"]), TraceID: traceID(first(r.Header["Traceparent"])), IAM: proxy.IAMOf(r.Context()),
	}
}

// callOn is call for a route on one path and without query parameters.
func (n *Native) callOn(r *http.Request, name string) (secret.Path, proxy.Call, error) {
	path, err := parsePath(name)
	if err != nil {
		return path, proxy.Call{}, err
	}
	c, err := n.plainCall(r)
	return path, c, err
}

// plainCall is call for a route without query parameters.
func (n *Native) plainCall(r *http.Request) (proxy.Call, error) {
	if _, err := query(r); err != nil {
		return proxy.Call{}, err
	}
	return n.call(r)
}

func first(v []string) string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

// Bearer takes the token of RFC 6750 section 2.1. No header is no token; another scheme or a second header is an error.
func Bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", fail(api.InvalidRequest, "more than one Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", nil
	}
	return token, nil
}

// traceID is the trace-id of a W3C traceparent (version 00), "" where there is none.
func traceID(parent string) string {
	if len(parent) != 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return ""
	}
	id := parent[3:35]
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return id
}

// source is the peer's address, unless the peer is a trusted proxy: then the last address of X-Forwarded-For that is
// not itself a trusted proxy. Anything unreadable in that list ends the search at the hop that added it.
func (n *Native) source(r *http.Request) string {
	host := peer(r)
	if len(n.trusted) == 0 {
		return host
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !n.isTrusted(addr) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.WithZone("").Unmap()
		if !n.isTrusted(addr) {
			break
		}
	}
	return addr.WithZone("").String()
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) string {
	host := r.RemoteAddr
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = strings.Trim(host[:i], "[]")
	}
	host, _, _ = strings.Cut(host, "%")
	return host
}

func (n *Native) isTrusted(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	for _, p := range n.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// query parses the query strictly: only the named parameters, each at most once.
func query(r *http.Request, names ...string) (url.Values, error) {
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		return nil, nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail(api.InvalidRequest, "the query string is malformed")
	}
	for name, values := range q {
		if len(values) > 1 {
			return nil, fail(api.InvalidRequest, "a query parameter is repeated")
		}
		known := false
		for _, want := range names {
			known = known || name == want
		}
		if !known {
			return nil, fail(api.UnknownParameter, unknownParameter(names))
		}
	}
	return q, nil
}

func unknownParameter(names []string) string {
	if len(names) == 0 {
		return "this route takes no query parameters"
	}
	return "unknown query parameter; this route takes " + strings.Join(names, ", ")
}
