package vault_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

func TestNewRefuses(t *testing.T) {
	good := vault.Config{Address: "https://vault.test:8200/", Mount: "kv/apps", Version: 2, Login: approle()}
	open(t, good)
	for name, change := range map[string]func(*vault.Config){
		"no address":            func(c *vault.Config) { c.Address = "" },
		"another scheme":        func(c *vault.Config) { c.Address = "ftp://vault.test" },
		"user in the address":   func(c *vault.Config) { c.Address = "https://a:b@vault.test" },
		"query in the address":  func(c *vault.Config) { c.Address = "https://vault.test/?a" },
		"empty query":           func(c *vault.Config) { c.Address = "https://vault.test/?" },
		"port alone":            func(c *vault.Config) { c.Address = "https://:8200" },
		"version 0":             func(c *vault.Config) { c.Version = 0 },
		"version 3":             func(c *vault.Config) { c.Version = 3 },
		"no mount":              func(c *vault.Config) { c.Mount = "" },
		"mount above":           func(c *vault.Config) { c.Mount = "../sys" },
		"namespace of two":      func(c *vault.Config) { c.Namespace = "a\r\nb" },
		"no login":              func(c *vault.Config) { c.Login = vault.Login{} },
		"auth mount":            func(c *vault.Config) { c.Login = vault.JWT("a//b", "r", constant("t")) },
		"inline token":          func(c *vault.Config) { c.Inline, c.Login = true, vault.TokenFrom(constant("t")) },
		"no authority in PEM":   func(c *vault.Config) { c.TLS.CA = []byte("-----BEGIN NOTHING-----") },
		"certificate alone":     func(c *vault.Config) { c.TLS.Certificate = constant("x") },
		"key alone":             func(c *vault.Config) { c.TLS.Key = constant("x") },
		"certificate in no way": func(c *vault.Config) { c.Address = "https://" },
	} {
		c := good
		change(&c)
		if u, err := vault.New(c); err == nil {
			_ = u.Close()
			t.Errorf("New accepts %s", name)
		}
	}
}

// What every request carries.
func TestHeaders(t *testing.T) {
	e := newEdge(t, "")
	i := &issuer{ttl: 60}
	var mu sync.Mutex
	var got []http.Header
	e.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		got = append(got, r.Header.Clone())
		mu.Unlock()
		return i.answer(w, r) || always(200, goodV2)(w, r)
	})
	u := open(t, vault.Config{Address: e.URL + "/", Namespace: "team/a", Mount: "kv/apps", Version: 2, Login: vault.JWT("oidc/eu", "edge", constant("e.y.J"))})
	if _, err := u.Read(t.Context(), "a/b", "7"); err != nil {
		t.Fatal(err)
	}
	if want, calls := []string{"POST auth/oidc/eu/login", "GET kv/apps/data/a/b?version=7"}, e.asked(); !slices.Equal(calls, want) {
		t.Errorf("asked %q, want %q", calls, want)
	}
	for i, h := range got {
		if h.Get("X-Vault-Namespace") != "team/a" || h.Get("X-Vault-Request") != "true" || h.Get("Accept-Encoding") != "" {
			t.Errorf("request %d has the headers %v", i, h)
		}
	}
	if got[0].Get("X-Vault-Token") != "" || got[1].Get("X-Vault-Token") != "t-1" {
		t.Error("the token goes where it must not, or not where it must")
	}
}

// The login travels with the read, and there is no other request, whatever comes of it.
func TestInline(t *testing.T) {
	e := newEdge(t, "")
	var headers http.Header
	status, failed, body := 200, false, goodV2
	e.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		headers = r.Header.Clone()
		if failed {
			w.Header().Set("X-Vault-Inline-Auth-Failed", "true")
		}
		reply(w, status, body)
		return true
	})
	u := open(t, vault.Config{Address: e.URL, Mount: "kv", Version: 2, Inline: true, Login: vault.AppRole("edge/approle", constant("role\n"), constant(`ses"ame`))})
	read := func() error {
		_, err := u.Read(t.Context(), "x", secret.Current)
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	if got := headers.Get("X-Vault-Inline-Auth-Path"); got != "auth/edge/approle/login" {
		t.Errorf("the login goes to %q", got)
	}
	for i, want := range []string{`{"key":"role_id","value":"role"}`, `{"key":"secret_id","value":"ses\"ame"}`} {
		got, err := base64.RawURLEncoding.DecodeString(headers.Get(fmt.Sprintf("X-Vault-Inline-Auth-Parameter-%d", i)))
		if err != nil || string(got) != want {
			t.Errorf("parameter %d is %q (%v), want %q", i, got, err, want)
		}
	}
	if headers.Get("X-Vault-Token") != "" {
		t.Error("there is a token")
	}
	status, body = 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`
	wantKind(t, "denied", read(), secret.ErrDenied)
	body = `{"errors":["failed to perform inline authentication: permission denied"]}`
	wantKind(t, "login denied, in a sentence", read(), vault.ErrLogin)
	failed, body = true, `{"errors":["permission denied"]}`
	wantKind(t, "login denied", read(), vault.ErrLogin)
	status, body = 404, `{"errors":[]}`
	wantKind(t, "login not found", read(), vault.ErrLogin)
	if got := len(e.asked()); got != 5 {
		t.Errorf("5 reads made %d requests", got)
	}
}

// The token goes to no other address, nor to another path of the same.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := newEdge(t, "")
	var e *edge
	for _, target := range []string{"other", "same"} {
		var u secret.Upstream
		u, e = scripted(t, 2, func(w http.ResponseWriter, _ *http.Request) bool {
			to := other.URL
			if target == "same" {
				to = e.URL
			}
			w.Header().Set("Location", to+"/v1/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		})
		_, err := u.Read(t.Context(), "x", secret.Current)
		wantKind(t, "redirected to the "+target+" host", err, secret.ErrUnavailable)
		if calls := e.asked(); len(calls) != 2 {
			t.Errorf("asked %q, want a login and a read", calls)
		}
	}
	if calls := other.asked(); len(calls) != 0 {
		t.Errorf("the other host was asked %q", calls)
	}
}

// The proxies of the environment are for other programs: the token would go through them. Loopback addresses are never
// proxied, so that this takes one that is none, and answers nowhere.
func TestNoProxy(t *testing.T) {
	proxy := newEdge(t, "")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	u := open(t, vault.Config{Address: "http://192.0.2.1:8200", Mount: "kv", Version: 2, Login: approle()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := u.Read(ctx, "x", secret.Current); err == nil {
		t.Error("an address of documentation answers")
	}
	if calls := proxy.asked(); len(calls) != 0 {
		t.Errorf("the proxy was asked %q", calls)
	}
}

// An answer that ends early, is announced as too long, or comes on a connection that breaks.
func TestBrokenAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter)
		want   error
	}{
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(goodV2))
		}, secret.ErrUnavailable},
		"reset": {func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(goodV2))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, secret.ErrUnavailable},
		"no HTTP": {func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Write([]byte("canary: this is another protocol\r\n\r\n"))
			_ = conn.Close()
		}, secret.ErrUnavailable},
		"announced too long": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000000000")
			w.WriteHeader(200)
		}, secret.ErrTooLarge},
		"endless": {func(w http.ResponseWriter) {
			for piece := []byte(strings.Repeat(" ", 1<<16)); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}, secret.ErrTooLarge},
		"headers too long": {func(w http.ResponseWriter) {
			w.Header().Set("X-Long", strings.Repeat("canary", 100_000))
			w.WriteHeader(200)
		}, secret.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := scripted(t, 2, func(w http.ResponseWriter, _ *http.Request) bool { tt.answer(w); return true })
			_, err := u.Read(t.Context(), "x", secret.Current)
			wantKind(t, "reading", err, tt.want)
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	u, e := scripted(t, 2, func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	done := make(chan error)
	go func() {
		_, err := u.Read(context.WithoutCancel(t.Context()), "x", secret.Current)
		done <- err
	}()
	for calls := 0; calls < 2; calls += len(e.asked()) {
		e.await()
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	wantKind(t, "reading while it closes", <-done, vault.ErrClosed)
	_, err := u.Read(t.Context(), "x", secret.Current)
	wantKind(t, "reading afterwards", err, vault.ErrClosed)
}

func TestNobodyListens(t *testing.T) {
	u := open(t, vault.Config{Address: "http://127.0.0.1:" + porttest.Reserve(t), Mount: "kv", Version: 2, Login: approle()})
	_, err := u.Read(t.Context(), "x", secret.Current)
	wantKind(t, "reading", err, secret.ErrUnavailable)
}

// Connections are used again, also after answers that hold no secret.
func TestConnectionsAreReused(t *testing.T) {
	e := newEdge(t, "")
	conns := map[string]bool{}
	i := &issuer{ttl: 60}
	n := 0
	e.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		conns[r.RemoteAddr] = true
		n++
		return i.answer(w, r) || always([]int{200, 404, 503, 429}[n%4], `{"errors":[]}`)(w, r)
	})
	u := open(t, vault.Config{Address: e.URL, Mount: "kv", Version: 2, Login: approle()})
	for range 20 {
		_, _ = u.Read(t.Context(), "x", secret.Current)
	}
	// A busy machine may lose one: net/http waits for 50 ms to hear that a request has been written whole.
	if len(conns) > 3 {
		t.Errorf("20 reads one after another took %d connections", len(conns))
	}
}

func TestTLS(t *testing.T) {
	authority, foreign := newAuthority(t), newAuthority(t)
	client := &exchangeable{}
	client.set(authority.issue(t, "client"))
	i := &issuer{ttl: 60}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !i.answer(w, r) {
			w.Header().Set("Connection", "close")
			reply(w, 200, strings.Replace(goodV2, `"a":"1"`, `"a":"`+r.TLS.PeerCertificates[0].Subject.CommonName+`"`, 1))
		}
	}))
	pair, err := tls.X509KeyPair(authority.issue(t, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.pool(t)}
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	t.Cleanup(server.Close)
	config := vault.Config{Address: server.URL, Mount: "kv", Version: 2, Login: approle()}
	read := func(change func(*vault.TLS)) (string, error) {
		c := config
		c.TLS = vault.TLS{CA: authority.pem, Certificate: client.certificate, Key: client.key}
		change(&c.TLS)
		u := open(t, c)
		s, err := u.Read(t.Context(), "x", secret.Current)
		if err != nil {
			return "", err
		}
		v, _ := s.Field("a")
		return string(v.Reveal()), nil
	}
	if got, err := read(func(*vault.TLS) {}); got != "client" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = read(func(c *vault.TLS) { c.CA = nil })
	wantKind(t, "an authority that is not known", err, secret.ErrUnavailable)
	_, err = read(func(c *vault.TLS) { c.CA = foreign.pem })
	wantKind(t, "another authority", err, secret.ErrUnavailable)
	_, err = read(func(c *vault.TLS) { c.Certificate, c.Key = nil, nil })
	wantKind(t, "no client certificate", err, secret.ErrUnavailable)

	// A certificate that was exchanged is the one that the next connection shows.
	c := config
	c.TLS = vault.TLS{CA: authority.pem, Certificate: client.certificate, Key: client.key}
	u := open(t, c)
	for _, name := range []string{"client", "successor"} {
		client.set(authority.issue(t, name))
		s, err := u.Read(t.Context(), "x", secret.Current)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := s.Field("a"); string(v.Reveal()) != name && name == "successor" {
			t.Errorf("the vault sees %q, want %q", v.Reveal(), name)
		}
	}
}

// A server may answer before it has read everything: whoever writes does not wait for ever.
func TestAnswerBeforeTheEnd(t *testing.T) {
	u, _ := scripted(t, 2, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			reply(w, 404, `{"errors":[]}`)
		} else {
			reply(w, 413, `{"errors":["http: request body too large"]}`)
		}
		return true
	})
	s := &secret.Secret{Fields: []secret.Field{{Name: "a", Value: secret.NewValue([]byte(strings.Repeat("\x01", secret.MaxValueBytes-1)))}}}
	_, _, err := u.(secret.Writer).Write(t.Context(), "x", secret.Write{Secret: s})
	if err == nil {
		t.Error("the write is made")
	}
}
