// Package httpapi translates HTTP dialects into calls of package proxy and its answers back. It decides nothing: it
// parses strictly, refuses what it does not know, and maps errors through one table.
package httpapi

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"

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
	// Issuer is the iss of our tokens, the URL below which clients find this API. "" has no
	// metadata of RFC 8414.
	Issuer string
	// TrustedProxies are the peers whose X-Forwarded-For is believed. Empty: nobody's.
	TrustedProxies []netip.Prefix
	// Surface is what policies and records call this listener. "" means "native".
	Surface string
	// CursorKey seals the cursors of listings, which name paths that the caller may not see. Nodes with the same key
	// take each other's. Required.
	CursorKey [32]byte
	Logger    *slog.Logger // nil: discard
}

// Native is the native HTTP API, version 1.
type Native struct {
	proxy   *proxy.Proxy
	jwks    func() []byte
	issuer  string
	trusted []netip.Prefix
	surface string
	log     *slog.Logger
	cursors cipher.AEAD
	bodies  atomic.Int64 // bytes held for request bodies
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
	if c.CursorKey == [32]byte{} {
		return nil, errors.New("httpapi: the cursor key is required")
	}
	block, err := aes.NewCipher(c.CursorKey[:])
	if err != nil {
		return nil, err
	}
	cursors, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	n := &Native{proxy: c.Proxy, jwks: c.JWKS, issuer: c.Issuer, surface: c.Surface, log: c.Logger, cursors: cursors}
	for _, p := range c.TrustedProxies {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		n.trusted = append(n.trusted, p.Masked())
	}
	return n, nil
}

// ServeHTTP answers one request. A panic ends as a bare 500: its text may hold anything.
func (n *Native) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer rescue(n.log, func(err error) { writeError(w, err) })
	setPrivate(w.Header())
	err := n.admitted(w, r)
	switch {
	case err != nil && r.URL.Path == tokenPath:
		writeOAuthError(w, err)
	case err != nil:
		writeError(w, err)
	}
}

// rescue is deferred by what answers requests: a panic is told as an internal error, and its text to nobody.
func rescue(log *slog.Logger, tell func(error)) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	log.Error("panic in a request handler", "type", typeName(v))
	tell(&proxy.Error{Code: api.Internal, Message: internalMessage})
}

// admitted routes what the proxy has room for. Whoever asks how the server is gets an answer when it is busy, too: it is
// no reason to start another in its place.
func (n *Native) admitted(w http.ResponseWriter, r *http.Request) error {
	switch r.URL.Path {
	case "/healthz", "/readyz", jwksPath:
		return n.route(w, r)
	}
	if err := n.proxy.Enter(r.Context(), r.ContentLength != 0); err != nil {
		return err
	}
	defer n.proxy.Leave()
	return n.route(w, r)
}

// The same slices serve every answer: net/http only reads them.
var (
	headerPrivate = []string{"private, no-store"}
	headerPublic  = []string{"public, max-age=300"}
	headerNoCache = []string{"no-cache"} // with a token, says RFC 6749 section 5.1
	headerNosniff = []string{"nosniff"}
	headerJSON    = []string{"application/json"}
)
