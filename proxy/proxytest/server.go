// Package proxytest is for tests of everything above the mechanisms: servers in process and as built binaries, tokens
// for them, and a runner of HTTP scripts that takes any transport. Only tests and benchmarks import it.
package proxytest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

// Options shape a server in process. The zero value is a new directory with the document Document.
type Options struct {
	Dir      string           // "": a new temporary one
	Document string           // "": Document
	Wall     func() time.Time // nil: time.Now
	Mono     func() time.Duration
	Logger   *slog.Logger
	Level    *slog.LevelVar                // of Logger, as a reload sets it
	Drivers  func(app.Drivers) app.Drivers // changes the drivers, such as to make one fail
	Beside   *app.Beside                   // as app.Options has it
}

// Server is Keyhole in process, in a directory of its own.
type Server struct {
	App    *app.App
	Config *config.Config
	Dir    string
}

// NewServer builds a server as "keyhole serve" does, but for the listeners, and closes it with the test.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	WriteDocument(t, o.Dir, o.Document)
	drivers := full.Drivers()
	if o.Drivers != nil {
		drivers = o.Drivers(drivers)
	}
	drivers.Native = Native(t)
	c, err := drivers.Load(filepath.Join(o.Dir, devdir.ConfigFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(context.Background(), c, drivers, app.Options{Wall: o.Wall, Mono: o.Mono, Logger: o.Logger, Level: o.Level, Beside: o.Beside})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return &Server{App: a, Config: c, Dir: o.Dir}
}

// WriteDocument makes the directory, keys included, with this configuration ("": Document).
func WriteDocument(t testing.TB, dir, document string) {
	t.Helper()
	if document == "" {
		document = Document
	}
	if err := os.WriteFile(filepath.Join(dir, devdir.ConfigFile), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := devdir.Create(dir, ""); err != nil {
		t.Fatal(err)
	}
}

// Target is the server for scripts.
func (s *Server) Target() Target {
	return Target{URL: "http://in-process.invalid", Transport: s.App.InProcess(), Token: Issuer(s.Config)}
}

// AWSTarget is the server's AWS dialect for scripts.
func (s *Server) AWSTarget() Target {
	native := s.Target()
	return Target{URL: "http://localhost:2773", Transport: s.App.AWSInProcess(), Token: native.Token, Native: &native}
}

// Issuer mints tokens with the signing key of a configuration, from scope=, base=, subject=, ttl= of a script.
func Issuer(c *config.Config) func(testing.TB, map[string]string) string {
	return func(t testing.TB, spec map[string]string) string {
		t.Helper()
		r := app.TokenRequest{Scope: spec["scope"], Base: spec["base"], Subject: spec["subject"], TTL: 5 * time.Minute}
		if d, ok := spec["ttl"]; ok {
			var err error
			if r.TTL, err = time.ParseDuration(d); err != nil {
				t.Fatal(err)
			}
		}
		if r.Subject == "" {
			r.Subject = "script"
		}
		token, err := app.Issue(c, os.Getenv, r)
		if err != nil {
			t.Fatalf("minting a token for %v: %v", spec, err)
		}
		return strings.TrimSpace(token)
	}
}

// Document is the configuration that the scripts are written for: no root mount, a mount of fields, labels by pattern,
// and a second policy that refuses restricted secrets.
const Document = `version: 1
region: test-1
listen: {native: "127.0.0.1:0", admin: "127.0.0.1:0"}
identity:
  issuer: https://keyhole.test
  audience: https://keyhole.test
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
upstreams:
  local: {type: embedded, path: vault.db, key: "file:keys/master.key"}
mounts:
  - path: web/production
    upstream: local
    at: web/production
    labels: {environment: production, classification: confidential}
  - path: web/preview
    upstream: local
    at: web/preview
    labels: {environment: preview}
  - path: env
    upstream: local
    at: web
    layout: fields
labels:
  - match: "**/MASTER_*"
    set: {classification: restricted}
policy:
  chain:
    - bundle: builtin:scope
    - bundle: builtin:attributes
      data:
        version: 1
        default: abstain
        rules:
          - name: no-restricted
            effect: deny
            when: {classification: [restricted]}
state: {type: file, path: state.db}
audit:
  key: file:keys/audit.key
  sinks:
    - {type: file, path: audit/audit.jsonl, required: true}
`
