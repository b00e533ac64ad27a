// Package oidctest runs a real OpenID provider for tests: oidc-provider, which "make test-integration" installs with npm.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/nodetest"
)

// Env names the variable with the folder in which npm has installed what provider.mjs needs.
const Env = "KEYHOLE_OIDC_PROVIDER"

//go:embed provider.mjs
var program string

// Provider is an issuer with one client, that signs with ES256, RS256 and EdDSA.
type Provider struct {
	Issuer string
	Roots  *x509.CertPool // the authority of its certificate
	CAFile string         // the same, PEM

	client *http.Client
}

// Start runs a provider until t ends. Where it is not installed, t is skipped.
func Start(t testing.TB) *Provider {
	t.Helper()
	dir := t.TempDir()
	p := &Provider{Roots: certify(t, dir), CAFile: filepath.Join(dir, "cert.pem")}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots}, DisableKeepAlives: true}
	p.client = &http.Client{Timeout: 30 * time.Second, Transport: transport}

	p.Issuer = nodetest.Start(t, Env, program, p.CAFile, filepath.Join(dir, "key.pem"))
	return p
}

// certify writes a certificate for 127.0.0.1 and its key to dir.
func certify(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return roots
}

// Rotate makes it sign with new keys. Without keep the old ones are published no more.
func (p *Provider) Rotate(t testing.TB, keep bool) {
	t.Helper()
	query := "?drop"
	if keep {
		query = ""
	}
	p.post(t, "/rotate"+query, nil, http.StatusNoContent, nil)
}

// Token gives an access token (RFC 9068) for the client "app", signed with this algorithm. Its audience is
// "https://keyhole.example/" and the algorithm.
func (p *Provider) Token(t testing.TB, algorithm string) string {
	t.Helper()
	var answer struct {
		Token string `json:"access_token"`
	}
	p.post(t, "/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"app"},
		"scope": {"read"}, "resource": {"https://keyhole.example/" + algorithm},
	}, http.StatusOK, &answer)
	return answer.Token
}

func (p *Provider) post(t testing.TB, path string, form url.Values, status int, into any) {
	t.Helper()
	resp, err := p.client.PostForm(p.Issuer+path, form)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status {
		t.Fatalf("POST %s: status %d", path, resp.StatusCode)
	}
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
}
