package app_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem, _ = certificate(t, nil, name)
	return a
}

// certificate makes a key and a certificate, of its own authority where by is nil.
func certificate(t testing.TB, by *authority, name string) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	} else {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func tlsDocument(listener string) string {
	return strings.Replace(proxytest.Document, `native: "127.0.0.1:0"`, `native: {address: "127.0.0.1:0", tls: {`+listener+`}}`, 1)
}

// listening serves s on its listeners until the test ends.
func listening(t testing.TB, s *proxytest.Server) *app.Server {
	t.Helper()
	srv, err := s.App.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return srv
}

// caller speaks to a server whose authority it trusts, on a new connection each time.
func caller(roots *authority, certs ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(roots.cert)
	return &http.Client{Timeout: proxytest.Patience, Transport: &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs},
	}}
}

// health returns the certificate that the server showed.
func health(t testing.TB, c *http.Client, url string) (*tls.ConnectionState, error) {
	t.Helper()
	resp, err := c.Get(url + "/healthz")
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 1 {
		t.Errorf("got %s %s", resp.Proto, resp.Status)
	}
	return resp.TLS, nil
}

func TestTLSCertificatesAreReloaded(t *testing.T) {
	ca := newAuthority(t, "ca")
	first, _, firstPEM, firstKey := certificate(t, ca, "first.test")
	second, _, secondPEM, secondKey := certificate(t, ca, "second.test")
	dir := t.TempDir()
	write(t, dir, "cert.pem", firstPEM)
	write(t, dir, "key.pem", firstKey)
	doc := tlsDocument("cert: file:cert.pem, key: file:key.pem")
	s := proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: doc})
	url := listening(t, s).NativeURL()
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("the URL is %s", url)
	}
	client := caller(ca)
	shows := func(want *x509.Certificate) {
		t.Helper()
		state, err := health(t, client, url)
		if err != nil {
			t.Fatal(err)
		}
		if got := state.PeerCertificates[0]; !got.Equal(want) {
			t.Errorf("the server shows %s, want %s", got.Subject, want.Subject)
		}
	}
	shows(first)
	write(t, dir, "cert.pem", secondPEM) // and not yet its key
	if err := reload(t, s, doc); err == nil {
		t.Error("a certificate with the key of another was taken")
	}
	shows(first)
	write(t, dir, "key.pem", secondKey)
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	shows(second)
	old := caller(ca)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if _, err := health(t, old, url); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if resp, err := http.Get("http" + strings.TrimPrefix(url, "https") + "/healthz"); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode == 200 {
			t.Error("plain HTTP is spoken")
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestClientCertificates(t *testing.T) {
	ca, clients, others := newAuthority(t, "ca"), newAuthority(t, "clients"), newAuthority(t, "others")
	_, _, certPEM, keyPEM := certificate(t, ca, "server.test")
	dir := t.TempDir()
	write(t, dir, "cert.pem", certPEM)
	write(t, dir, "key.pem", keyPEM)
	write(t, dir, "clients.pem", clients.pem)
	doc := tlsDocument("cert: file:cert.pem, key: file:key.pem, client_ca: file:clients.pem")
	s := proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: doc})
	url := listening(t, s).NativeURL()
	with := func(by *authority) *http.Client {
		_, _, certPEM, keyPEM := certificate(t, by, "client.test")
		pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
		if err != nil {
			t.Fatal(err)
		}
		c := caller(ca, pair)
		c.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		return c
	}
	good, foreign := with(clients), with(others)
	check := func(name string, c *http.Client, want bool) {
		t.Helper()
		state, err := health(t, c, url)
		if (err == nil) != want {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil && state.DidResume {
			t.Errorf("%s: a session was resumed, and the certificate not looked at", name)
		}
	}
	for range 2 {
		check("a client of the authority", good, true)
	}
	check("a client of another", foreign, false)
	check("a client without a certificate", caller(ca), false)
	write(t, dir, "clients.pem", others.pem)
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	check("a client of the authority that was replaced, which has sessions to resume", good, false)
	check("a client of the new one", foreign, true)
	write(t, dir, "clients.pem", "nothing")
	if err := reload(t, s, doc); err == nil {
		t.Error("authorities without a certificate were taken")
	}
	check("a client, after authorities were refused", foreign, true)
}

// Who was let in by an authority that is replaced is not served on: what is under way is answered, and no more.
func TestReplacedAuthoritiesEndConnections(t *testing.T) {
	ca, clients, others := newAuthority(t, "ca"), newAuthority(t, "clients"), newAuthority(t, "others")
	_, _, certPEM, keyPEM := certificate(t, ca, "server.test")
	_, _, clientPEM, clientKey := certificate(t, clients, "client.test")
	pair, err := tls.X509KeyPair([]byte(clientPEM), []byte(clientKey))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "cert.pem", certPEM)
	write(t, dir, "key.pem", keyPEM)
	write(t, dir, "clients.pem", clients.pem)
	doc := tlsDocument("cert: file:cert.pem, key: file:key.pem, client_ca: file:clients.pem")
	s := proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: doc})
	address := listening(t, s).NativeAddr().String()
	tlsConfig := caller(ca, pair).Transport.(*http.Transport).TLSClientConfig
	tlsConfig.ServerName = "127.0.0.1"
	answered := func(in *bufio.Reader, want int) {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("got %v, %v, want %d", resp, err, want)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	idle, busy := tls.Client(dial(t, address), tlsConfig), tls.Client(dial(t, address), tlsConfig)
	fromIdle, fromBusy := bufio.NewReader(idle), bufio.NewReader(busy)
	send := func(c net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	const healthz = "GET /healthz HTTP/1.1\r\nHost: k\r\n\r\n"
	const put = "PUT /v1/secrets/web/preview/K HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"
	for range 2 {
		send(idle, healthz)
		answered(fromIdle, 200)
	}
	send(busy, put)
	answered(fromBusy, 100) // it is being served

	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	send(idle, healthz) // the authorities are the same
	answered(fromIdle, 200)
	write(t, dir, "clients.pem", others.pem)
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	if _, err := fromIdle.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an idle connection: %v, want it closed", err)
	}
	send(busy, `{"value":"x"}`)
	answered(fromBusy, 401)
	if _, err := fromBusy.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was in use, after its answer: %v, want it closed", err)
	}
}
