package jwks_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

func TestDiscovery(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	s := open(t, i.config())
	if got := i.requests(); got != nil {
		t.Errorf("New asked for %q", got)
	}
	wantKey(t, s, kid(1))
	wantKey(t, s, kid(1))
	if got, want := i.requests(), []string{"/.well-known/openid-configuration", "/keys?v=1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfiguredPlace(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	c := i.config()
	c.Issuer, c.JWKSURI = "https://elsewhere.example", i.URL+"/of/its/own?appid=1"
	wantKey(t, open(t, c), kid(1))
	if got, want := i.requests(), []string{"/of/its/own?appid=1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRotationOverTheNetwork(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	var wall steps
	c := i.config()
	c.Wall = wall.now
	s := open(t, c)
	for n := byte(1); n < 10; n++ {
		before, after := kid(n), kid(n+1)
		i.publish(set(t, n, n+1))
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { wantKey(t, s, before) })
			callers.Go(func() { wantKey(t, s, after) })
		}
		callers.Wait()
		wall.jump(jwks.MissPause)
	}
}

// A lie of the issuer is no key, and what it said stays in the log.
func TestLyingDiscovery(t *testing.T) {
	other := newIssuer(t, set(t, 1))
	for name, document := range map[string]string{
		"another issuer":        `{"issuer":"https://accounts.example","jwks_uri":"URL/keys"}`,
		"the issuer and a /":    `{"issuer":"URL/","jwks_uri":"URL/keys"}`,
		"no issuer":             `{"jwks_uri":"URL/keys"}`,
		"another host":          `{"issuer":"URL","jwks_uri":"https://169.254.169.254/keys"}`,
		"another port":          `{"issuer":"URL","jwks_uri":"` + other.URL + `/keys"}`,
		"plain HTTP":            `{"issuer":"URL","jwks_uri":"http://HOST/keys"}`,
		"a user":                `{"issuer":"URL","jwks_uri":"https://a:b@HOST/keys"}`,
		"a host before the at":  `{"issuer":"URL","jwks_uri":"https://HOST@169.254.169.254/keys"}`,
		"a number":              `{"issuer":"URL","jwks_uri":7}`,
		"no jwks_uri":           `{"issuer":"URL"}`,
		"two of them":           `{"issuer":"URL","jwks_uri":"URL/keys","jwks_uri":"URL/keys"}`,
		"two but for case":      `{"issuer":"URL","jwks_uri":"URL/keys","JWKS_URI":"URL/keys"}`,
		"an array":              `["URL"]`,
		"no JSON":               `<html>`,
		"nothing":               ` `,
		"keys in the wrong one": `{"issuer":"URL","keys":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, set(t, 1))
			i.document = strings.NewReplacer("URL", i.URL, "HOST", strings.TrimPrefix(i.URL, "https://")).Replace(document)
			var log logs
			c := i.config()
			c.Logger = log.logger()
			wantUnknown(t, open(t, c), kid(1))
			if got := i.requests(); len(got) != 1 {
				t.Errorf("got requests %q, want one", got)
			}
			if text := log.String(); !strings.Contains(text, "reading the discovery document") || !strings.Contains(text, "issuer="+i.URL) {
				t.Errorf("the log does not say what is wrong: %s", text)
			}
		})
	}
	if got := other.requests(); got != nil {
		t.Errorf("another host was asked for %q", got)
	}
}

func TestBadAnswersNeverReplaceGoodKeys(t *testing.T) {
	good, err := json.Marshal(set(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	reply := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			name, value, _ := strings.Cut(header, ": ")
			if name != "" {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(good)
	_ = z.Close()
	var many []string
	for n := range byte(identity.MaxKeys + 1) {
		text, err := json.Marshal(set(t, n+1))
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, strings.TrimSuffix(strings.TrimPrefix(string(text), `{"keys":[`), `]}`))
	}
	for name, answer := range map[string]http.HandlerFunc{
		"redirect to metadata": reply(302, "Location: http://169.254.169.254/latest/meta-data", ""),
		"redirect to itself":   reply(307, "Location: /keys", ""),
		"not found":            reply(404, "", string(good)),
		"no content":           reply(204, "", ""),
		"not authoritative":    reply(203, "", string(good)),
		"error":                reply(500, "", string(good)),
		"error page":           reply(200, "Content-Type: text/html", "<html>We will be back soon"),
		"no keys":              reply(200, "", "{}"),
		"cut off":              reply(200, "", string(good[:len(good)/2])),
		"twice":                reply(200, "", string(good)+string(good)),
		"too large":            reply(200, "", string(good)+strings.Repeat(" ", identity.MaxKeySetBytes)),
		"too many":             reply(200, "", `{"keys":[`+strings.Join(many, ",")+`]}`),
		"compressed":           reply(200, "Content-Encoding: gzip", zipped.String()),
		"symmetric":            reply(200, "", `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"}]}`),
		"endless header":       reply(200, "X-Long: "+strings.Repeat("x", 1<<20), string(good)),
		"cut connection":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"length not kept": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(good)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, set(t, 1))
			var wall steps
			var log logs
			c := i.config()
			c.JWKSURI, c.Wall, c.Logger = i.URL+"/keys", wall.now, log.logger()
			s := open(t, c)
			wantKey(t, s, kid(1))
			i.requests()
			i.respond(answer)
			wall.jump(time.Hour)
			wantUnknown(t, s, kid(2)) // waits for the answer
			wantKey(t, s, kid(1))
			if got := i.requests(); len(got) != 1 {
				t.Errorf("got requests %q, want one", got)
			}
			if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, `serving="old keys"`) {
				t.Errorf("the log does not say what happened: %s", text)
			}
			// Nor is it taken where there is nothing else.
			c.Logger = nil
			wantUnknown(t, open(t, c), kid(1))
		})
	}
}

func TestNoRequestForCompression(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	var header http.Header
	i.respond(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		_ = json.NewEncoder(w).Encode(i.keys)
	})
	wantKey(t, open(t, i.config()), kid(1))
	if got := header.Get("Accept-Encoding"); got != "" {
		t.Errorf("Accept-Encoding: got %q", got)
	}
}

func TestLargestAnswer(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	i.respond(func(w http.ResponseWriter, _ *http.Request) {
		text, _ := json.Marshal(i.keys)
		_, _ = fmt.Fprintf(w, "%s%s", text, strings.Repeat(" ", identity.MaxKeySetBytes-len(text)))
	})
	wantKey(t, open(t, i.config()), kid(1))
}

func TestCertificates(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	c := i.config()
	c.Roots = x509.NewCertPool()
	wantUnknown(t, open(t, c), kid(1))
	c.Roots = nil // those of the system
	wantUnknown(t, open(t, c), kid(1))
	old := newIssuer(t, set(t, 1), tlsVersion(tls.VersionTLS11))
	wantUnknown(t, open(t, old.config()), kid(1))
	if got := append(i.requests(), old.requests()...); got != nil {
		t.Errorf("requests %q came through", got)
	}
	wantKey(t, open(t, newIssuer(t, set(t, 1), tlsVersion(tls.VersionTLS12)).config()), kid(1))
}

// The address is what counts, not the name that leads there.
func TestNamesThatLeadToLoopback(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	var log logs
	c := i.config()
	c.Issuer, c.AllowPrivate, c.Logger = "https://localhost", false, log.logger()
	wantUnknown(t, open(t, c), kid(1))
	if text := log.String(); !strings.Contains(text, "refused to connect to an address that is not public: ") {
		t.Errorf("the connection failed for another reason, if at all: %s", text)
	}
}

// A proxy that the environment names would connect for us, wherever the name leads.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	var log logs
	wantUnknown(t, open(t, jwks.Config{Issuer: "https://issuer.invalid", AllowPrivate: true, Logger: log.logger()}), kid(1))
	if text := log.String(); strings.Contains(text, "proxyconnect") || !strings.Contains(text, "issuer.invalid") {
		t.Errorf("a proxy was asked: %s", text)
	}
}

// 10^5 kids that nobody has, over the network: one fetch, and those whose key is known do not wait for it.
func TestStormOverTheNetwork(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	c := i.config() // no time passes, however slow the machine is
	c.Wall, c.Mono = func() time.Time { return time.Unix(1, 0) }, func() time.Duration { return 0 }
	s := open(t, c)
	wantKey(t, s, kid(1))
	i.requests()
	hold := make(chan struct{})
	i.respond(func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		_ = json.NewEncoder(w).Encode(i.keys)
	})
	var callers sync.WaitGroup
	for n := range 100 {
		callers.Go(func() {
			for m := range 1000 {
				wantUnknown(t, s, fmt.Sprintf("%d of %d", m, n))
			}
		})
	}
	for range 1000 {
		wantKey(t, s, kid(1))
	}
	close(hold)
	callers.Wait()
	if got := i.requests(); len(got) != 2 {
		t.Errorf("got requests %q, want one fetch: the discovery document and the keys", got)
	}
}

func TestSlowIssuer(t *testing.T) {
	i := newIssuer(t, set(t, 1))
	i.respond(func(w http.ResponseWriter, r *http.Request) { // a byte at a time
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	wantUnknown(t, open(t, i.config()), kid(1)) // after five seconds
}
