package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// stranger is a server that counts who comes, and should be left alone.
func stranger(t *testing.T) (url string, visits *atomic.Int64) {
	t.Helper()
	visits = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(s.Close)
	return s.URL, visits
}

// What a server answers becomes an exit code that a script can act on.
func TestExitCodesOfAnswers(t *testing.T) {
	var status atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		fmt.Fprint(w, `{"error":{"code":"some_code","message":"what happened","decision":"01ID","rule":"a/b"}}`)
	}))
	defer s.Close()
	for code, want := range map[int]int{
		400: 1, 401: 3, 403: 3, 404: 4, 405: 1, 409: 1, 413: 1, 429: 5, 500: 1, 502: 5, 503: 5, 504: 5,
	} {
		status.Store(int64(code))
		stdout, stderr := keyhole(t, want, "", "get", "a/B", "--url", s.URL, "--token", "t")
		if stdout != "" || !strings.Contains(stderr, "some_code: what happened (rule a/b)") || !strings.Contains(stderr, "01ID") {
			t.Errorf("%d: got %q and %q", code, stdout, stderr)
		}
	}
	keyhole(t, 5, "", "get", "a/B", "--url", "http://"+proxytest.Nobody(t), "--token", "t")
}

// A token is for the server that was named, not for whom that server names.
func TestRedirectsAreNotFollowed(t *testing.T) {
	where, visits := stranger(t)
	var status atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", where+"/v1/secrets/a/B")
		w.WriteHeader(int(status.Load()))
	}))
	defer s.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		status.Store(int64(code))
		keyhole(t, 1, "", "get", "a/B", "--url", s.URL, "--token", "t")
		keyhole(t, 1, "value", "set", "a/B", "--url", s.URL, "--token", "t")
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("the target of redirects was asked %d times, want never", n)
	}
}

// The token of a directory goes to the server of that directory, past every proxy of the environment.
func TestNoProxyForADirectory(t *testing.T) {
	proxy, visits := stranger(t)
	dir := t.TempDir()
	if err := devdir.Create(dir, ""); err != nil {
		t.Fatal(err)
	}
	lock, err := devdir.TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	// A name that does not exist: whoever is asked for it was asked as a proxy.
	withdraw, err := devdir.Announce(dir, devdir.Server{PID: os.Getpid(), Native: "http://keyhole.invalid:8640"})
	if err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	_, stderr, code := proxytest.Run(t, bin, "", []string{"HTTP_PROXY=" + proxy, "http_proxy=" + proxy, "NO_PROXY=", "no_proxy="}, "get", "a/B", "--dir", dir)
	if code != 5 || !strings.Contains(stderr, "keyhole.invalid") {
		t.Errorf("got exit code %d and %q, want 5: there is no such host", code, stderr)
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("the proxy was asked %d times, want never", n)
	}
	// At a URL the environment's proxy is the user's wish.
	_, _, _ = proxytest.Run(t, bin, "", []string{"HTTP_PROXY=" + proxy, "http_proxy=" + proxy}, "get", "a/B", "--url", "http://keyhole.invalid", "--token", "t")
	if n := visits.Load(); n != 1 {
		t.Errorf("the proxy was asked %d times for a URL, want once: this test tells nothing", n)
	}
}

// What a killed server said of itself is not believed, whoever has its process number and its port now.
func TestNotesOfTheDead(t *testing.T) {
	where, visits := stranger(t)
	dir := t.TempDir()
	p := dev(t, dir)
	p.Kill(t)
	if _, err := devdir.Announce(dir, devdir.Server{PID: os.Getpid(), Native: where}); err != nil {
		t.Fatal(err)
	}
	if got, _ := keyhole(t, 0, "", "get", seeded, "--dir", dir); got == "" {
		t.Error("got nothing")
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("the stranger was asked %d times, want never", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "server.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note is still there: %v", err)
	}
	// While a command holds the lock, the note of another process says nothing.
	lock, err := devdir.TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	if _, err := devdir.Announce(dir, devdir.Server{PID: os.Getppid(), Native: where}); err != nil {
		t.Fatal(err)
	}
	if s, ok, err := devdir.Find(dir); ok || err != nil {
		t.Errorf("got %+v (%v), which is not of whoever holds the lock", s, err)
	}
}
