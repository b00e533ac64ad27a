package wire_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/answerbody"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "keyhole-canary"

// upload is a body that knows whether it was closed.
type upload struct {
	io.Reader
	closed chan struct{}
}

func (u *upload) Close() error {
	select {
	case <-u.closed:
	default:
		close(u.closed)
	}
	return nil
}

func open(t *testing.T, c wire.Config) *wire.Wire {
	t.Helper()
	w, err := wire.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// send posts to a URL and waits until the body of the request is closed.
func send(ctx context.Context, t *testing.T, w *wire.Wire, url string, most int) (*wire.Answer, error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := &upload{strings.NewReader(canary), make(chan struct{})}
	req.Body, req.ContentLength = body, int64(len(canary))
	a, err := w.Send(ctx, req, most)
	<-body.closed
	return a, err
}

// Each way to fail is an error of the contract of upstreams, in words of our own.
func TestSend(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, canary)
		default:
			_, _ = io.WriteString(w, "0123456789")
		}
	})
	server, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of who does not trust it
	secure.StartTLS()
	t.Cleanup(func() { server.Close(); secure.Close() })
	mutual := httptest.NewUnstartedServer(handler)
	mutual.Config.ErrorLog = secure.Config.ErrorLog
	// In a later version the server says so when the handshake is over, and what of it arrives is a matter of luck.
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	mutual.StartTLS()
	t.Cleanup(mutual.Close)
	unknown := open(t, wire.Config{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mutual.Certificate().Raw})})
	w := open(t, wire.Config{})

	a, err := send(t.Context(), t, w, server.URL, 10)
	if err != nil || a.Status != 200 || string(a.Body) != "0123456789" || a.Header.Get("Content-Length") != "10" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if a, err := send(t.Context(), t, w, server.URL+"/elsewhere", 100); err != nil || a.Status != 302 {
		t.Errorf("a redirect: got %+v, %v", a, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, end := context.WithTimeout(t.Context(), 0)
	defer end()
	closed := open(t, wire.Config{})
	closed.Close()
	for name, row := range map[string]struct {
		ctx   context.Context
		w     *wire.Wire
		url   string
		want  error
		words string
	}{
		"too long":          {t.Context(), w, server.URL + "/?" + canary, answerbody.ErrTooLong, "more than 9 bytes"},
		"nobody listens":    {t.Context(), w, "http://" + proxytest.Nobody(t), secret.ErrUnavailable, "cannot connect"},
		"not trusted":       {t.Context(), w, secure.URL, secret.ErrUnavailable, "not trusted"},
		"no TLS":            {t.Context(), w, strings.Replace(server.URL, "http:", "https:", 1), secret.ErrUnavailable, "does not speak TLS"},
		"nothing to show":   {t.Context(), unknown, mutual.URL, secret.ErrUnavailable, "refuses the TLS handshake"},
		"a caller who left": {canceled, w, server.URL, context.Canceled, ""},
		"too late":          {late, w, server.URL, secret.ErrTimeout, ""},
		"closed":            {t.Context(), closed, server.URL, wire.ErrClosed, ""},
	} {
		a, err := send(row.ctx, t, row.w, row.url, 9)
		if a != nil || !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.words) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %+v, %v; want %v: %s", name, a, err, row.want, row.words)
		}
	}
	if _, err := send(t.Context(), t, w, server.URL+"/cut", 1000); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("an answer cut short: got %v", err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	entered := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	w := open(t, wire.Config{})
	done := make(chan error)
	go func() {
		_, err := send(t.Context(), t, w, server.URL, 10)
		done <- err
	}()
	<-entered
	w.Close()
	if err := <-done; !errors.Is(err, wire.ErrClosed) || !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestWhatIsShownAndTrusted(t *testing.T) {
	if _, err := wire.New(wire.Config{CA: []byte("none")}); err == nil {
		t.Error("no authority is an authority")
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	w := open(t, wire.Config{CA: authority, Certificate: func() (*tls.Certificate, error) { return nil, errors.New(canary) }})
	_, err := send(t.Context(), t, w, server.URL, 10)
	if !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(err.Error(), "client certificate") || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
	w = open(t, wire.Config{CA: authority, Certificate: func() (*tls.Certificate, error) { return &server.TLS.Certificates[0], nil }})
	if a, err := send(t.Context(), t, w, server.URL, 100); err != nil || a.Status != 404 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// A connection that has been idle for long by the wall clock is not used again, whatever the monotonic one says.
func TestIdleWhileFrozen(t *testing.T) {
	var opened atomic.Int32
	// A connection is kept only where the client knows, shortly after the answer, that all of the request has been sent.
	sent := make(chan struct{}, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent <- struct{}{} }})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-sent }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	now := time.Now()
	w := open(t, wire.Config{Wall: func() time.Time { return now }})
	for _, step := range []struct {
		pass time.Duration
		want int32
	}{{0, 1}, {0, 1}, {59 * time.Second, 1}, {59 * time.Second, 1}, {time.Minute, 2}, {time.Second, 2}, {-time.Hour, 3}, {48 * time.Hour, 4}} {
		now = now.Add(step.pass)
		if _, err := send(ctx, t, w, s.URL, 10); err != nil {
			t.Fatal(err)
		}
		if got := opened.Load(); got != step.want {
			t.Errorf("after %v: %d connections, want %d", step.pass, got, step.want)
		}
	}
}

// Requests that come together after a freeze share no connection from before it: the first does not leave one to the others.
func TestTogetherAfterAFreeze(t *testing.T) {
	type opened struct{}
	var round atomic.Int64 // which is the wall clock, too: each is an hour after the one before
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got, want := r.Context().Value(opened{}), round.Load(); got != want {
			t.Errorf("a connection of round %v in round %d", got, want)
		}
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, opened{}, round.Load())
	}
	s.Start()
	t.Cleanup(s.Close)
	begin := time.Now()
	w := open(t, wire.Config{Wall: func() time.Time { return begin.Add(time.Duration(round.Load()) * time.Hour) }})
	for range 100 {
		round.Add(1)
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				if _, err := send(t.Context(), t, w, s.URL, 10); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	}
}
