package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// serverTLS reads the certificates of the native listener.
func (b *builder) serverTLS() (*tls.Config, error) {
	c := b.env.Config.Listen.Native.TLS
	cert, err := b.env.Resolve(c.Cert)
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	key, err := b.env.Resolve(c.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert and key: %w", err)
	}
	out := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		// HTTP/2 would put many requests on one connection, where the bounds on slow clients are those of HTTP/1.1.
		NextProtos: []string{"http/1.1"},
	}
	if c.ClientCA.IsZero() {
		return out, nil
	}
	ca, err := b.env.Resolve(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client_ca: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("client_ca: there is no certificate in it")
	}
	out.ClientAuth = tls.RequireAndVerifyClientCert
	// A resumed session would not be held against authorities that were replaced since.
	out.SessionTicketsDisabled = true
	return out, nil
}

// listenerTLS gives each new connection the certificates of the last reload.
func (a *App) listenerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.tls.Load(), nil },
	}
}
