package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// serverTransport is the way to the server of a directory: over TLS exactly the certificate of its configuration is
// believed, whoever signed it.
func serverTransport(c *config.Config) (http.RoundTripper, error) {
	// A server of this machine is never reached through a proxy, whatever the environment says: the token would be too.
	direct := &http.Transport{Proxy: nil}
	t := c.Listen.Native.TLS
	if t == nil {
		return direct, nil
	}
	text, err := t.Cert.Resolve(c.Dir, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("listen.native.tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("listen.native.tls.cert: there is no certificate in it")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("listen.native.tls.cert: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	direct.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: nameIn(leaf)}
	return direct, nil
}

// nameIn is a name that the certificate is for: it is asked for at an address that it need not hold.
func nameIn(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "keyhole", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return leaf.Subject.CommonName
}
