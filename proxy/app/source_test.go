package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func source(t *testing.T, dir string) *app.Source {
	t.Helper()
	s := full.Drivers().Source(filepath.Join(dir, devdir.ConfigFile), nil)
	if _, err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s
}

// settles looks twice: a change counts when it was the same at two looks.
func settles(t *testing.T, s *app.Source) bool {
	t.Helper()
	if s.Changed() {
		t.Error("a change counts at the first look: the file may be half written")
	}
	return s.Changed()
}

func TestSourceSeesChanges(t *testing.T) {
	dir := t.TempDir()
	doc := strings.Replace(proxytest.Document, "bundle: builtin:scope", "{bundle: file:p/mine.wasm, unsigned: true}", 1)
	proxytest.WriteDocument(t, dir, doc)
	s := source(t, dir)
	if settles(t, s) {
		t.Error("nothing changed")
	}
	// A folder that is a link, as orchestrators mount configuration, is turned to another one.
	for _, d := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir, d+"/mine.wasm", "same size "+d)
	}
	turn := func(to string) {
		_ = os.Remove(filepath.Join(dir, "p"))
		if err := os.Symlink(to, filepath.Join(dir, "p")); err != nil {
			t.Fatal(err)
		}
	}
	replaced := func(name, text string) {
		write(t, dir, name+".new", text)
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []struct {
		what string
		make func()
	}{
		{"a missing file appears", func() { turn("v1") }},
		{"a link is turned", func() { turn("v2") }},
		{"the keys are replaced", func() { replaced("keys/jwks.json", `{"keys":[]}`) }},
		{"the document is replaced by one of the same size", func() { replaced(devdir.ConfigFile, doc) }},
		{"the document grows", func() { write(t, dir, devdir.ConfigFile, doc+"log: {level: warn}\n") }},
		{"the document is bad", func() { write(t, dir, devdir.ConfigFile, doc+"nonsense") }},
		{"the keys change while it is bad", func() { replaced("keys/jwks.json", `{"keys": []}`) }},
		{"the document goes away", func() { _ = os.Remove(filepath.Join(dir, devdir.ConfigFile)) }},
	} {
		change.make()
		if !settles(t, s) {
			t.Errorf("%s: not seen", change.what)
		}
		_, _ = s.Load()
		if settles(t, s) {
			t.Errorf("%s: seen again", change.what)
		}
	}
}

func TestSourceWaitsUntilTheWriterIsDone(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, "")
	s := source(t, dir)
	doc := proxytest.Document
	for range 3 {
		doc += "# more\n"
		write(t, dir, devdir.ConfigFile, doc)
		if s.Changed() {
			t.Error("a file that is still being written counts")
		}
	}
	if !s.Changed() {
		t.Error("not seen when it stood still")
	}
}

// Watch takes a good document, and survives a bad one, by itself.
func TestWatchReloads(t *testing.T) {
	s, token := seeded(t, proxytest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := source(t, s.Dir)
	done := make(chan struct{})
	now := make(chan os.Signal)
	go func() { defer close(done); s.App.Watch(ctx, src, now) }()
	before := s.App.PolicyDigest()
	write(t, s.Dir, devdir.ConfigFile, document("left"))
	for deadline := time.Now().Add(proxytest.Patience); s.App.PolicyDigest() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new document is not in force")
		}
	}
	write(t, s.Dir, devdir.ConfigFile, "nonsense")
	now <- os.Interrupt // any signal: it is the sender's business which
	now <- os.Interrupt // taken when the first has been dealt with
	if code, _ := do(t, s, token, "GET", known, ""); code != 200 {
		t.Errorf("after a bad document: got %d", code)
	}
	cancel()
	<-done
}

// Every file that a reload reads is looked at.
func TestSourceLooksAtEveryFile(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "ca")
	_, _, cert, key := certificate(t, ca, "server.test")
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "clients.pem": ca.pem} {
		write(t, dir, name, text)
	}
	proxytest.WriteDocument(t, dir, tlsDocument("cert: file:cert.pem, key: file:key.pem, client_ca: file:clients.pem"))
	for _, name := range []string{devdir.ConfigFile, "cert.pem", "key.pem", "clients.pem", "keys/signing.pem", "keys/jwks.json"} {
		s := source(t, dir)
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(text)+"\n")
		if !settles(t, s) {
			t.Errorf("a change of %s is not seen", name)
		}
	}
}
