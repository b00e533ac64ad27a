package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// tlsFlags are references, as the configuration has them: what the command shows to a server that asks for a client
// certificate, and which authorities it believes.
type tlsFlags struct{ ca, cert, key string }

func (f *tlsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ca, "tls-ca", "", "authorities that may have signed the certificate of the server at --url, as file:PATH or env:NAME; default: those of the system")
	f.addIdentity(cmd)
}

// addIdentity adds what the command shows only, for one that speaks to the server of a directory.
func (f *tlsFlags) addIdentity(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "client certificate for a server that asks for one, as file:PATH or env:NAME")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "its private key")
}

// remoteTransport is the way to a server at a URL.
func (f *tlsFlags) remoteTransport() (http.RoundTripper, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		text, err := readRef("--tls-ca", f.ca, false)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("--tls-ca: there is no certificate in it")
		}
	}
	if err := f.identify(c); err != nil {
		return nil, err
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c}, nil
}

// serverTransport is the way to the server of a directory: over TLS exactly the certificate of its configuration is
// believed, whoever signed it.
func (f *tlsFlags) serverTransport(c *config.Config) (http.RoundTripper, error) {
	if f.ca != "" {
		return nil, usage("--tls-ca goes with --url; the certificate of a directory's server is known")
	}
	// A server of this machine is never reached through a proxy, whatever the environment says: the token would be too.
	direct := &http.Transport{Proxy: nil}
	if c.Listen.Native.TLS == nil {
		return direct, nil
	}
	leaf, err := serverCertificate(c)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	direct.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: nameIn(leaf)}
	return direct, f.identify(direct.TLSClientConfig)
}

// identify shows the client certificate to servers that ask for one.
func (f *tlsFlags) identify(c *tls.Config) error {
	switch {
	case (f.cert == "") != (f.key == ""):
		return usage("--tls-cert and --tls-key go together")
	case f.cert == "":
		return nil
	}
	cert, err := readRef("--tls-cert", f.cert, false)
	if err != nil {
		return err
	}
	key, err := readRef("--tls-key", f.key, true)
	if err != nil {
		return err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return nil
}

// certificateHint is what to do where refusesIdentity holds.
const certificateHint = "the server asks for a client certificate that it believes: name one with --tls-cert and --tls-key"

// lacksIdentity reports whether the server of c asks for a client certificate and the command has none to show.
func (f *tlsFlags) lacksIdentity(c *config.Config) bool {
	return f.cert == "" && c.Listen.Native.TLS != nil && !c.Listen.Native.TLS.ClientCA.IsZero()
}

// refusesIdentity reports whether err is that of a server to which the client certificate, or the lack of one, is not good
// enough: it sends an alert (RFC 8446, section 6.2). In TLS 1.3 that comes when the client takes the handshake for finished,
// and the end of the connection may overtake it; so where a certificate is lacking, every end is taken for that one.
func refusesIdentity(err error, lacking bool) bool {
	op := (*net.OpError)(nil)
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "dial") {
		return op.Op == "remote error"
	}
	return err != nil && lacking
}

// readRef reads what a flag refers to, from the working directory on.
func readRef(flag, text string, private bool) ([]byte, error) {
	ref, err := config.ParseRef(text, "file", "env")
	if err != nil {
		return nil, usage("%s: want a reference such as file:client.pem or env:NAME", flag)
	}
	ref.Private = private
	data, err := ref.Resolve("", os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return data, nil
}

// serverCertificate is the certificate that a server with this configuration shows.
func serverCertificate(c *config.Config) (*x509.Certificate, error) {
	text, err := c.Listen.Native.TLS.Cert.Resolve(c.Dir, os.Getenv)
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
	return leaf, nil
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

// curlOptions are what curl needs to believe a server at the URL base as commands do, each with a space behind it, and
// the URL to ask.
func curlOptions(c *config.Config, base string) (options, target string, err error) {
	t := c.Listen.Native.TLS
	if t == nil {
		return "", base, nil
	}
	leaf, err := serverCertificate(c)
	if err != nil {
		return "", "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", "", err
	}
	options = "--cacert " + shellFile(c, t.Cert) + " "
	if leaf.VerifyHostname(u.Hostname()) != nil {
		name := net.JoinHostPort(nameIn(leaf), u.Port())
		options += "--connect-to " + name + ":" + u.Host + " "
		u.Host = name
	}
	if !t.ClientCA.IsZero() {
		options += "--cert CLIENT_CERTIFICATE --key CLIENT_KEY "
	}
	return options, u.String(), nil
}

// shellFile names what a reference leads to as a file, for a shell.
func shellFile(c *config.Config, ref config.Ref) string {
	if ref.Scheme == "env" {
		return "<(printenv " + ref.Name + ")"
	}
	return "'" + strings.ReplaceAll(c.Abs(ref.Name), "'", `'\''`) + "'"
}
