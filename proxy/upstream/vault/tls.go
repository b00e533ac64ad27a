package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// TLS is how the two sides prove who they are. The zero value trusts the authorities of the system and shows nothing.
type TLS struct {
	// CA is the authorities that may have signed the server's certificate, PEM; empty means those of the system.
	CA []byte
	// Certificate and Key are the client certificate and its key, PEM, read anew for each connection; both or neither.
	Certificate, Key Source
}

// Bounds of connections. How many requests are made at once is for whoever asks to bound.
const (
	dialTimeout = 2 * time.Second
	tlsTimeout  = 3 * time.Second
	idleTimeout = time.Minute
	maxIdle     = 64
	maxConns    = 256
)

// transport speaks HTTP/1.1 only: on the one connection of HTTP/2 a packet lost would hold up every request.
func (c TLS) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("no certificate authority in what should be PEM")
		}
	}
	switch {
	case (c.Certificate == nil) != (c.Key == nil):
		return nil, errors.New("a client certificate and its key must be given together")
	case c.Certificate != nil:
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.pair() }
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               nil, // not even that of the environment: the token would go through it
		DialContext:         dialer.DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: tlsTimeout,
		DisableCompression:  true,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		MaxConnsPerHost:     maxConns,
		IdleConnTimeout:     idleTimeout,

		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

func (c TLS) pair() (*tls.Certificate, error) {
	certificate, err := c.Certificate()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errClientCertificate, err)
	}
	key, err := c.Key()
	if err != nil {
		return nil, fmt.Errorf("%w: its key: %w", errClientCertificate, err)
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errClientCertificate, err)
	}
	return &pair, nil
}
