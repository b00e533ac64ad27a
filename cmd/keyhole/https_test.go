package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// certify writes cert.pem and key.pem for names, signed by nobody, and returns the pool that believes it.
func certify(t *testing.T, dir string, names ...string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func serveTLS(t *testing.T, names ...string) (*proxytest.Process, *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	pool := certify(t, dir, names...)
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, `native: "127.0.0.1:0"`,
		`native: {address: "127.0.0.1:0", tls: {cert: "file:cert.pem", key: "file:key.pem"}}`, 1))
	return proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile)), pool
}

func TestScriptsOverTLS(t *testing.T) {
	proxytest.RunScripts(t, "../../proxy/httpapi/testdata/read*.txt", func(t *testing.T) proxytest.Target {
		p, pool := serveTLS(t, "keyhole.test")
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "keyhole.test"}}
		t.Cleanup(transport.CloseIdleConnections)
		target := p.Target()
		target.Transport = transport
		return target
	})
}

// The commands believe exactly the certificate of the configuration, whatever it is for, and follow when it is replaced.
func TestCommandsOverTLS(t *testing.T) {
	for _, name := range []string{"keyhole.test", "*.keyhole.test"} {
		p, _ := serveTLS(t, name)
		file := filepath.Join(p.Dir, devdir.ConfigFile)
		if !strings.HasPrefix(p.Server.Native, "https://") {
			t.Fatalf("server.json says %s", p.Server.Native)
		}
		keyhole(t, 0, "v", "set", "web/production/KEY", "--config", file)
		if got, _ := keyhole(t, 0, "", "get", "web/production/KEY", "--config", file); got != "v" {
			t.Errorf("got %q", got)
		}
		certify(t, p.Dir, name)
		await(t, p, taken, 1)
		if got, _ := keyhole(t, 0, "", "get", "web/production/KEY", "--config", file); got != "v" {
			t.Errorf("after the certificate was replaced: got %q", got)
		}
		// The server keeps its certificate while the file holds one that it cannot take.
		if err := os.Remove(filepath.Join(p.Dir, "key.pem")); err != nil {
			t.Fatal(err)
		}
		impostor := t.TempDir()
		certify(t, impostor, name)
		if err := os.Rename(filepath.Join(impostor, "cert.pem"), filepath.Join(p.Dir, "cert.pem")); err != nil {
			t.Fatal(err)
		}
		if _, stderr := keyhole(t, 5, "", "get", "web/production/KEY", "--config", file); !strings.Contains(stderr, "certificate") {
			t.Errorf("a server with another certificate: %s", stderr)
		}
	}
}
