package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

const (
	fetchTime      = 5 * time.Second // of one fetch, discovery included
	maxHeaderBytes = 16 << 10
)

// fetcher gets the keys from the issuer: the good set, and how long it is fresh.
type fetcher func(context.Context) (*identity.KeySet, time.Duration, error)

// endpoint is where an issuer publishes its keys.
type endpoint struct {
	issuer    string
	discovery *url.URL // nil where keys is known
	keys      *url.URL
	private   bool
	client    *http.Client
}

func newClient(roots *x509.CertPool, private bool) *http.Client {
	dialer := &net.Dialer{ControlContext: control(private), KeepAlive: -1}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:              nil, // not even that of the environment: it would resolve names itself, past control
			DialContext:        dialer.DialContext,
			TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			DisableCompression: true, // what the parsers are given is what came over the wire
			MaxIdleConns:       1,

			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
}

// fetch asks the issuer. Errors are for the log.
func (e *endpoint) fetch(ctx context.Context) (*identity.KeySet, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	defer e.client.CloseIdleConnections() // one is kept from the discovery document to the keys, none to the next fetch
	at := e.keys
	if at == nil {
		document, _, err := e.get(ctx, e.discovery)
		if err != nil {
			return nil, 0, fmt.Errorf("getting the discovery document: %w", err)
		}
		if at, err = keysOf(document, e.issuer, e.discovery, e.private); err != nil {
			return nil, 0, fmt.Errorf("reading the discovery document: %w", err)
		}
	}
	body, header, err := e.get(ctx, at)
	if err != nil {
		return nil, 0, fmt.Errorf("getting the key set: %w", err)
	}
	set, err := identity.ParseKeySet(body)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the key set: %w", err)
	}
	return set, freshness(header), nil
}

// get makes one request.
func (e *endpoint) get(ctx context.Context, at *url.URL) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "keyhole")
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, nil, fmt.Errorf("status %d: redirects are not followed", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("status %d, want 200", resp.StatusCode)
	}
	// One byte more than the parsers take.
	body, err := io.ReadAll(io.LimitReader(resp.Body, identity.MaxKeySetBytes+1))
	if err != nil {
		return nil, nil, err
	}
	return body, resp.Header, nil
}
