// Package httpapi translates HTTP dialects into calls of package proxy and its answers back. It decides nothing: it
// parses strictly, refuses what it does not know, and maps errors through one table.
package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// Limits of the native API that the server's transport must hold as well.
const (
	MaxHeaderBytes  = 16 << 10 // of all header lines
	maxBodyBytes    = 1 << 20
	maxPutBodyBytes = 4 << 20
)

// Config is what the native API is made of.
type Config struct {
	Proxy *proxy.Proxy // required
	// JWKS returns the key set document of /.well-known/jwks.json. Required.
	JWKS func() []byte
	// TrustedProxies are the peers whose X-Forwarded-For is believed. Empty: nobody's.
	TrustedProxies []netip.Prefix
	// Surface is what policies and records call this listener. "" means "native".
	Surface string
	Logger  *slog.Logger // nil: discard
}

// Native is the native HTTP API, version 1.
type Native struct {
	proxy   *proxy.Proxy
	jwks    func() []byte
	trusted []netip.Prefix
	surface string
	log     *slog.Logger
}

// NewNative validates c.
func NewNative(c Config) (*Native, error) {
	if c.Proxy == nil || c.JWKS == nil {
		return nil, errors.New("httpapi: proxy and jwks are required")
	}
	if c.Surface == "" {
		c.Surface = "native"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Native{proxy: c.Proxy, jwks: c.JWKS, trusted: c.TrustedProxies, surface: c.Surface, log: c.Logger}, nil
}

// ServeHTTP answers one request. A panic ends as a bare 500: its text may hold anything.
func (n *Native) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			n.log.Error("panic in a request handler", "type", typeName(v))
			writeError(w, &proxy.Error{Code: api.Internal, Message: internalMessage})
		}
	}()
	h := w.Header()
	h["Cache-Control"] = headerPrivate
	h["X-Content-Type-Options"] = headerNosniff
	if err := n.route(w, r); err != nil {
		writeError(w, err)
	}
}

// The same slices serve every answer: net/http only reads them.
var (
	headerPrivate = []string{"private, no-store"}
	headerPublic  = []string{"public, max-age=300"}
	headerNosniff = []string{"nosniff"}
	headerJSON    = []string{"application/json"}
)
