package app_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

// beforeBao is a server whose secrets are in a real OpenBao: an engine of version 2 mounted as objects and as fields, and
// one of version 1. Its clocks are the test's.
type beforeBao struct {
	*proxytest.Server
	bao    *baotest.Server
	kv     [3]string // engines by version
	token  string
	start  time.Time
	passed atomic.Int64 // ns, since start
}

// newBeforeBao connects to address, the URL of the OpenBao or of what stands before it. more is keys of the upstreams.
func newBeforeBao(t *testing.T, bao *baotest.Server, address, more string) *beforeBao {
	t.Helper()
	return newBeforeBaoWith(t, bao, address, more, more)
}

// newBeforeBaoPolled has keys for the upstream of version 2 alone.
func newBeforeBaoPolled(t *testing.T, bao *baotest.Server, more string) *beforeBao {
	t.Helper()
	return newBeforeBaoWith(t, bao, bao.URL, more, "")
}

func newBeforeBaoWith(t *testing.T, bao *baotest.Server, address, more, old string) *beforeBao {
	t.Helper()
	b := &beforeBao{bao: bao, start: time.Now(), kv: [3]string{1: bao.Mount(t, 1), 2: bao.Mount(t, 2)}}
	bao.Policy(t, "edge", map[string]string{"+/*": "create read update list delete"})
	roleID, secretID := bao.AppRole(t, "edge", nil)
	dir := t.TempDir()
	for name, text := range map[string]string{"role-id": roleID, "secret-id": secretID + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const document = `version: 1
listen: {native: "127.0.0.1:0", admin: "127.0.0.1:0"}
identity: {issuer: "https://keyhole.test", audience: "https://keyhole.test", signing_key: "file:keys/signing.pem", keys: "file:keys/jwks.json"}
upstreams:
  bao:
    type: vault
    address: ADDRESS
    kv: {mount: KV2}
    auth: {method: approle, role_id: "file:role-id", secret_id: "file:secret-id"}
    limits: {concurrency: 8, rate: 0}MORE
  old:
    type: vault
    address: ADDRESS
    kv: {mount: KV1, version: 1}
    auth: {method: approle, role_id: "file:role-id", secret_id: "file:secret-id", inline: true}OLD
mounts:
  - {path: web, upstream: bao, at: apps/web, cache: {soft_ttl: 10s, hard_ttl: 20s, stale_if_error: 10m, negative_ttl: 10s}}
  - {path: env, upstream: bao, at: apps, layout: fields}
  - {path: old, upstream: old}
state: {type: memory}
audit: {key: "file:keys/audit.key", sinks: [{type: file, path: audit.jsonl}]}
`
	b.Server = proxytest.NewServer(t, proxytest.Options{
		Dir: dir, Document: strings.NewReplacer("ADDRESS", address, "KV1", b.kv[1], "KV2", b.kv[2], "MORE", more, "OLD", old).Replace(document),
		Wall: func() time.Time { return b.start.Add(time.Duration(b.passed.Load())) },
		Mono: func() time.Duration { return time.Duration(b.passed.Load()) },
	})
	b.token = b.Target().Token(t, map[string]string{"scope": "read:** write:** list:**", "ttl": "1h"})
	return b
}

func (b *beforeBao) pass(d time.Duration) { b.passed.Add(int64(d)) }

// answer is what a test looks at.
type answer struct {
	Data struct {
		Value   string
		Fields  map[string]string
		Version string
		Created string `json:"created_at"`
		State   string
	}
	Meta  struct{ Cache string }
	Error struct{ Code string }
}

func (b *beforeBao) ask(t *testing.T, method, path, body string) (int, answer) {
	t.Helper()
	code, text := do(t, b.Server, b.token, method, "/v1/secrets"+path, body)
	var a answer
	if text != "" && json.Unmarshal([]byte(text), &a) != nil && !strings.Contains(path, ":versions") && !strings.Contains(path, "?prefix") {
		t.Fatalf("%s %s: %s", method, path, text)
	}
	return code, a
}

// put stores a secret behind the back of the proxy.
func (b *beforeBao) put(t *testing.T, name, text string) {
	t.Helper()
	b.bao.Must(t, "POST", b.kv[2]+"/data/"+name, map[string]any{"data": map[string]string{"text": text}})
}

// An application that reads all variables of its environment, and some that are not there, costs the vault one read.
func TestAnEnvironmentIsOneRead(t *testing.T) {
	bao := baotest.Start(t)
	target, err := url.Parse(bao.URL)
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if strings.Contains(r.In.URL.Path, "/data/") {
			reads.Add(1)
		}
		r.SetURL(target)
	}})
	t.Cleanup(front.Close)
	b := newBeforeBao(t, bao, front.URL, "")
	data := map[string]any{}
	for i := range 50 {
		data[fmt.Sprintf("F%02d", i)] = i
	}
	b.bao.Must(t, "POST", b.kv[2]+"/data/apps/shop", map[string]any{"data": data})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			code, a := b.ask(t, "GET", fmt.Sprintf("/env/shop/F%02d", i), "")
			if i < 50 && (code != 200 || a.Data.Value != fmt.Sprint(i)) || i >= 50 && code != 404 {
				t.Errorf("field %d: %d %+v", i, code, a)
			}
			if code, _ := b.ask(t, "GET", fmt.Sprintf("/env/none/F%02d", i), ""); code != 404 {
				t.Errorf("field %d of an object that is not there: %d", i, code)
			}
		})
	}
	wg.Wait()
	if n := reads.Load(); n != 2 {
		t.Errorf("%d reads of two objects, want 2", n)
	}
}

func TestSecretsOfAVault(t *testing.T) {
	bao := baotest.Start(t)
	b := newBeforeBao(t, bao, bao.URL, "")
	b.put(t, "apps/web/db", "one")
	b.bao.Must(t, "POST", b.kv[2]+"/data/apps/shop", map[string]any{"data": map[string]any{"API_KEY": "k", "PORT": 5432, "FLAGS": map[string]bool{"a": true}}})
	b.bao.Must(t, "POST", b.kv[1]+"/legacy/key", map[string]string{"password": "p"})

	code, a := b.ask(t, "GET", "/web/db", "")
	if code != 200 || a.Data.Fields["text"] != "one" || a.Data.Version != "1" || a.Data.Created == "" || a.Meta.Cache != "miss" {
		t.Errorf("an object: %d %+v", code, a)
	}
	if code, a = b.ask(t, "GET", "/web/db?field=text", ""); code != 200 || a.Data.Value != "one" || a.Meta.Cache != "hit" {
		t.Errorf("a field of an object: %d %+v", code, a)
	}
	for field, want := range map[string]string{"API_KEY": "k", "PORT": "5432", "FLAGS": `{"a":true}`} {
		if code, a = b.ask(t, "GET", "/env/shop/"+field, ""); code != 200 || a.Data.Value != want {
			t.Errorf("%s: %d %+v", field, code, a)
		}
	}
	if code, a = b.ask(t, "GET", "/env/shop/NONE", ""); code != 404 {
		t.Errorf("a missing field: %d", code)
	}
	code, a = b.ask(t, "GET", "/old/legacy/key", "")
	if code != 200 || a.Data.Fields["password"] != "p" || a.Data.Version == "" || a.Data.Created != "" {
		t.Errorf("version 1: %d %+v", code, a)
	}
	if code, _ = b.ask(t, "GET", "/old/legacy/key?version=previous", ""); code != 404 {
		t.Errorf("the previous version of version 1: %d", code)
	}

	for _, step := range []struct {
		method, path, body string
		code               int
		version            string
	}{
		{"PUT", "/web/db", `{"fields":{"text":"two"},"if_version":"1","metadata":{"owner":"web"}}`, 200, "2"},
		{"PUT", "/web/db", `{"fields":{"text":"x"},"if_version":"1"}`, 409, ""},
		{"PUT", "/web/db", `{"value":"opaque"}`, 400, ""},
		{"GET", "/web/db", "", 200, "2"},
		{"GET", "/web/db?version=previous", "", 200, "1"},
		{"POST", "/web/db:rollback", `{"version":"previous"}`, 200, "3"},
		{"GET", "/web/db:versions", "", 200, ""},
		{"GET", "/web/db", "", 200, "3"},
		{"DELETE", "/web/db", "", 204, ""},
		{"GET", "/web/db", "", 404, ""},
		{"GET", "/web/db?version=1", "", 404, ""},
		{"PUT", "/web/db", `{"fields":{"text":"four"},"if_version":"0"}`, 201, "4"},
		{"PUT", "/old/legacy/key", `{"fields":{"a":"b"}}`, 405, ""},
		{"DELETE", "/old/legacy/key", "", 405, ""},
		{"GET", "/old/legacy/key:versions", "", 405, ""},
		{"GET", "?prefix=web", "", 200, ""},
		{"GET", "?prefix=old", "", 200, ""},
	} {
		code, a := b.ask(t, step.method, step.path, step.body)
		if code != step.code || step.version != "" && a.Data.Version != step.version {
			t.Errorf("%s %s: %d and version %q, want %d and %q (%s)", step.method, step.path, code, a.Data.Version, step.code, step.version, a.Error.Code)
		}
	}
	if got := b.bao.Must(t, "GET", b.kv[2]+"/data/apps/web/db", nil)["metadata"].(map[string]any); fmt.Sprint(got["custom_metadata"]) != "map[owner:web]" {
		t.Errorf("the metadata in the vault is %v", got)
	}
}

// What clients do, the vault sees once for each secret: a herd for each of many secrets, and one that asks for names
// that are not there as fast as it can.
func TestVaultSeesOneReadForEachSecret(t *testing.T) {
	bao := baotest.Start(t)
	net := proxytest.NewFaultProxy(t, strings.TrimPrefix(bao.URL, "http://"))
	b := newBeforeBao(t, bao, "http://"+net.Address, "")
	const secrets, readers = 40, 10
	for i := range secrets {
		b.put(t, fmt.Sprintf("apps/web/s%d", i), "v")
	}
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for i := range secrets {
				if code, a := b.ask(t, "GET", fmt.Sprintf("/web/s%d", i), ""); code != 200 {
					t.Errorf("secret %d: %d %s", i, code, a.Error.Code)
				}
			}
		})
	}
	wg.Wait()
	if got := net.Requests(); got > secrets*12/10 {
		t.Errorf("%d readers of %d secrets cost %d requests, want at most %d", readers, secrets, got, secrets*12/10)
	}
	for i := range 500 {
		if code, _ := b.ask(t, "GET", fmt.Sprintf("/web/missing%d", i%5), ""); code != 404 {
			t.Errorf("a missing secret: %d", code)
		}
	}
	if got := net.Requests(); got > 6 {
		t.Errorf("500 questions for 5 names that are not there cost %d requests, want 5", got)
	}
}

// Cached reads keep their promise, whatever becomes of the vault: within the bound of a stale value they are served and
// say that they are stale, past it they are not; the vault is asked little meanwhile, and the new value is there when it
// is back.
func TestVaultFails(t *testing.T) {
	for name, fault := range map[string]func(t *testing.T, b *beforeBao, p *proxytest.FaultProxy) (heal func()){
		"Down": func(t *testing.T, _ *beforeBao, p *proxytest.FaultProxy) func() {
			p.Set(t, proxytest.Fault{Down: true})
			return func() { p.Set(t, proxytest.Fault{}) }
		},
		"BlackHole": func(t *testing.T, _ *beforeBao, p *proxytest.FaultProxy) func() {
			p.Set(t, proxytest.Fault{Hole: true})
			return func() { p.Set(t, proxytest.Fault{}) }
		},
		"TooSlow": func(t *testing.T, _ *beforeBao, p *proxytest.FaultProxy) func() {
			p.Set(t, proxytest.Fault{Delay: time.Minute})
			return func() { p.Set(t, proxytest.Fault{}) }
		},
		"ResetInTheMiddle": func(t *testing.T, _ *beforeBao, p *proxytest.FaultProxy) func() {
			p.Set(t, proxytest.Fault{Reset: 150})
			return func() { p.Set(t, proxytest.Fault{}) }
		},
		"Quota": func(t *testing.T, b *beforeBao, _ *proxytest.FaultProxy) func() {
			b.bao.Must(t, "POST", "sys/quotas/rate-limit/storm", map[string]any{"path": b.kv[2] + "/", "rate": 0.001})
			b.bao.Do(t, "GET", b.kv[2]+"/data/x", nil) // the one that the quota allows
			return func() { b.bao.Must(t, "DELETE", "sys/quotas/rate-limit/storm", nil) }
		},
		"Sealed": func(t *testing.T, b *beforeBao, p *proxytest.FaultProxy) func() {
			p.Set(t, proxytest.Fault{Down: true}) // it restarts
			b.bao.Seal(t)
			p.Set(t, proxytest.Fault{})
			return func() { b.bao.Unseal(t) }
		},
		"MountRemoved": func(t *testing.T, b *beforeBao, _ *proxytest.FaultProxy) func() {
			b.bao.Must(t, "DELETE", "sys/mounts/"+b.kv[2], nil)
			return func() {
				b.bao.Must(t, "POST", "sys/mounts/"+b.kv[2], map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
			}
		},
		"LoginRevoked": func(t *testing.T, b *beforeBao, _ *proxytest.FaultProxy) func() {
			b.bao.Must(t, "DELETE", "sys/auth/approle", nil) // with every token that it gave
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bao := baotest.Start(t)
			p := proxytest.NewFaultProxy(t, strings.TrimPrefix(bao.URL, "http://"))
			b := newBeforeBao(t, bao, "http://"+p.Address, "")
			b.put(t, "apps/web/a", "old")
			b.want(t, "at first", "old", "miss")
			p.Requests()
			heal := fault(t, b, p)
			b.pass(5 * time.Second)
			b.want(t, "while it is fresh", "old", "hit")
			b.pass(20 * time.Second)
			b.want(t, "past its hard TTL", "old", "stale")
			p.Requests()
			for range 30 {
				b.want(t, "again and again", "old", "stale")
			}
			if got := p.Requests(); got > 10 {
				t.Errorf("30 reads at once cost a failing vault %d requests", got)
			}
			b.pass(time.Minute)
			b.want(t, "a minute later", "old", "stale")
			if heal != nil {
				heal()
				b.await(t, b.kv[2])
				b.put(t, "apps/web/a", "new")
				b.pass(time.Minute)
				b.want(t, "when it is back", "new", "miss")
				fault(t, b, p)
				defer heal()
			}
			b.pass(15 * time.Minute)
			if code, a := b.ask(t, "GET", "/web/a", ""); code != 502 && code != 504 || a.Data.Fields != nil {
				t.Errorf("past its last bound: %d %+v", code, a)
			}
		})
	}
}

// A vault that comes and goes is one that is always there, to those who read what is cached.
func TestVaultFlaps(t *testing.T) {
	bao := baotest.Start(t)
	p := proxytest.NewFaultProxy(t, strings.TrimPrefix(bao.URL, "http://"))
	b := newBeforeBao(t, bao, "http://"+p.Address, "")
	b.put(t, "apps/web/a", "old")
	b.want(t, "at first", "old", "miss")
	seen := map[string]int{}
	for i := range 20 {
		p.Set(t, proxytest.Fault{Down: i%2 == 0})
		b.pass(25 * time.Second)
		code, a := b.ask(t, "GET", "/web/a", "")
		if code != 200 || a.Data.Fields["text"] != "old" {
			t.Errorf("round %d: %d %s", i, code, a.Error.Code)
		}
		seen[a.Meta.Cache]++
	}
	if seen["stale"] != 10 || seen["miss"] != 10 {
		t.Errorf("answers came from %v, want half of them stale and half from the vault", seen)
	}
}

// want reads the secret and looks at where it comes from.
func (b *beforeBao) want(t *testing.T, doing, text, cache string) {
	t.Helper()
	code, a := b.ask(t, "GET", "/web/a", "")
	if code != 200 || a.Data.Fields["text"] != text || a.Meta.Cache != cache {
		t.Errorf("%s: %d %q %s %s, want %q %s", doing, code, a.Data.Fields["text"], a.Meta.Cache, a.Error.Code, text, cache)
	}
}

// await returns when the engine answers again.
func (b *beforeBao) await(t *testing.T, mount string) {
	t.Helper()
	for range 500 {
		if status, answer := b.bao.Do(t, "GET", mount+"/data/none", nil); status == 404 && len(answer["errors"].([]any)) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the engine does not answer")
}

// The vault shows another certificate: one that the authority did not sign ends nothing that is cached, one that it did
// changes nothing.
func TestVaultChangesItsCertificate(t *testing.T) {
	bao := baotest.Start(t)
	target, err := url.Parse(bao.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := &http.Transport{}
	t.Cleanup(forward.CloseIdleConnections)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: forward})
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of callers who do not trust it
	front.StartTLS()
	t.Cleanup(front.Close)
	good := front.TLS.Certificates[0]
	_, _, cert, key := certificate(t, nil, "nobody")
	other, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	var shown atomic.Pointer[tls.Certificate]
	shown.Store(&good)
	front.TLS.Certificates = nil
	front.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil }
	front.TLS.SessionTicketsDisabled = true

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBeforeBao(t, bao, front.URL, "\n    tls: {ca: \"file:"+ca+"\"}")
	b.put(t, "apps/web/a", "old")
	b.want(t, "at first", "old", "miss")
	shown.Store(&other)
	front.CloseClientConnections()
	b.pass(time.Minute)
	b.want(t, "with a certificate of nobody", "old", "stale")
	shown.Store(&good)
	b.put(t, "apps/web/a", "new")
	b.pass(time.Minute)
	b.want(t, "with a good one", "new", "miss")
}
