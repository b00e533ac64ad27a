package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
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
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
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

// A server that asks for client certificates is reached with one, in a directory and at a URL, and not without.
func TestCommandsWithAClientCertificate(t *testing.T) {
	dir, me := t.TempDir(), t.TempDir()
	certify(t, dir, "127.0.0.1")
	certify(t, me, "me")
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, `native: "127.0.0.1:0"`,
		`native: {address: "127.0.0.1:0", tls: {cert: "file:cert.pem", key: "file:key.pem", client_ca: "file:`+filepath.Join(me, "cert.pem")+`"}}`, 1))
	file := filepath.Join(dir, devdir.ConfigFile)
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", file)
	identity := []string{"--tls-cert", "file:" + filepath.Join(me, "cert.pem"), "--tls-key", "file:" + filepath.Join(me, "key.pem")}
	with := func(more []string, args ...string) []string { return append(args, more...) }

	keyhole(t, 0, "v", with(identity, "set", "web/production/KEY", "--config", file)...)
	for _, args := range [][]string{
		{"get", "web/production/KEY"},
		{"list", "web"},
		{"versions", "web/production/KEY"},
		{"delete", "web/production/KEY"},
		{"rollback", "web/production/KEY", "previous"},
		{"key", "rotate"},
	} {
		if _, stderr := keyhole(t, 5, "", append(args, "--config", file)...); !strings.Contains(stderr, "--tls-cert and --tls-key") {
			t.Errorf("%v: got %s, want what to do", args, stderr)
		}
	}
	keyhole(t, 2, "", with(identity[:2], "get", "web/production/KEY", "--config", file)...)
	keyhole(t, 2, "", with(identity, "get", "web/production/KEY", "--config", file, "--tls-ca", "file:x")...)
	keyhole(t, 2, "", "get", "web/production/KEY", "--config", file, "--tls-cert", "x", "--tls-key", "y")

	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:web/production/*"})
	remote := []string{"get", "web/production/KEY", "--url", p.Server.Native, "--token", token}
	ca := []string{"--tls-ca", "file:" + filepath.Join(dir, "cert.pem")}
	if got, _ := keyhole(t, 0, "", with(ca, with(identity, remote...)...)...); got != "v" {
		t.Errorf("got %q", got)
	}
	keyhole(t, 5, "", with(ca, remote...)...)
	keyhole(t, 5, "", with(identity, remote...)...)
	keyhole(t, 0, "", with(identity, "key", "rotate", "--config", file)...)
	if err := os.Chmod(filepath.Join(me, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr := keyhole(t, 1, "", with(identity, "get", "web/production/KEY", "--config", file)...); !strings.Contains(stderr, "chmod 600") {
		t.Errorf("a key that others may read: %s", stderr)
	}
}

// The curl line of "keyhole dev" works over TLS too, whatever the certificate is for.
func TestDevPrintsACurlLineForTLS(t *testing.T) {
	for _, name := range []string{"keyhole.test", "127.0.0.1"} {
		dir := filepath.Join(t.TempDir(), "it's here")
		dev(t, dir).Stop(t)
		certify(t, dir, name)
		file := filepath.Join(dir, devdir.ConfigFile)
		text := strings.Replace(string(read(t, file)), `native: "127.0.0.1:0"`,
			`native: {address: "127.0.0.1:0", tls: {cert: "file:cert.pem", key: "file:key.pem"}}`, 1)
		replace(t, file, []byte(text))
		p := proxytest.StartBinary(t, bin, dir, "dev", "--dir", dir)
		awaitText(t, p.Stdout, "policy ", 1)
		_, line, _ := strings.Cut(p.Stdout.String(), "\n\n")
		line, _, _ = strings.Cut(line, "\n\n")
		out, err := exec.Command("bash", "-c", line).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"path":"`+seeded+`"`) {
			t.Errorf("%s\ngives %v: %s", line, err, out)
		}
		p.Stop(t)
	}
}
