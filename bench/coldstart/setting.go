package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
)

const (
	secretName  = "apps/web/DB"
	secretPath  = "/v1/secrets/web/DB"
	secretValue = "of-the-cold-start"
)

// document is the configuration of the function: a secret of Secrets Manager, builtin:scope, and a record that is
// acknowledged before the value goes out.
const document = `{
  "version": 1,
  "identity": {"issuer": "https://keyhole.test", "audience": "https://keyhole.test", "signing_key": "file:keys/signing.pem", "keys": "file:keys/jwks.json"},
  "upstreams": {"sm": {"type": "secretsmanager"}},
  "mounts": [{"path": "web", "upstream": "sm", "at": "apps/web"}],
  "state": {"type": "memory"},
  "audit": {"key": "file:keys/audit.key", "sinks": [{"type": "file", "path": "audit/audit.jsonl", "required": true}]}
}`

// program is one that is started.
type program struct {
	name, bin string
	env       []string
	event     []byte // the first
	answer    string // what its answer must contain
}

// setting is what the starts need: built programs, a package's folder and an emulator of AWS.
type setting struct {
	dir             string
	hello, function *program
	aws             *awsemu.Server
	server          *http.Server
	served          chan struct{}
}

func newSetting(ctx context.Context) (_ *setting, err error) {
	s := &setting{aws: new(awsemu.Server), served: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "keyhole-coldstart-"); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	s.server = &http.Server{Handler: s.aws, ReadHeaderTimeout: patience}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(ln)
	}()
	if err := s.prepare(ctx, "http://"+ln.Addr().String()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *setting) prepare(ctx context.Context, aws string) error {
	value := secretValue
	s.aws.PutSecret(awsemu.Region, secretName, &value, nil)
	if err := os.WriteFile(filepath.Join(s.dir, "keyhole.json"), []byte(document), 0o600); err != nil {
		return err
	}
	if err := devdir.Create(s.dir, ""); err != nil {
		return err
	}
	token, err := s.token()
	if err != nil {
		return err
	}
	s.hello = &program{name: "hello", bin: filepath.Join(s.dir, "hello"), event: []byte(`{}`), answer: "hello world"}
	s.function = &program{name: "function", bin: filepath.Join(s.dir, "function"), event: urlEvent(token), answer: secretValue, env: []string{
		"AWS_ENDPOINT_URL=" + aws, "AWS_ACCESS_KEY_ID=" + awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY=" + awsemu.SecretKey,
	}}
	if err := build(ctx, s.hello.bin, "./bench/coldstart/hello"); err != nil {
		return err
	}
	return build(ctx, s.function.bin, "./functions/lambda")
}

func (s *setting) token() (string, error) {
	c, err := edge.Drivers().Load(filepath.Join(s.dir, "keyhole.json"), nil)
	if err != nil {
		return "", err
	}
	token, err := app.Issue(c, os.Getenv, app.TokenRequest{Scope: "read:web/**", Subject: "bench", TTL: c.Identity.MaxTTL})
	return strings.TrimSpace(token), err
}

// urlEvent is the event of a Function URL that asks for the secret.
func urlEvent(token string) []byte {
	e, _ := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": secretPath, "rawQueryString": "", "headers": map[string]string{"authorization": "Bearer " + token},
		"requestContext": map[string]any{
			"apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
			"http": map[string]any{"method": "GET", "path": secretPath, "sourceIp": "203.0.113.7"},
		},
		"isBase64Encoded": false,
	})
	return e
}

func (s *setting) close() error {
	err := s.server.Close()
	<-s.served
	return errors.Join(err, os.RemoveAll(s.dir))
}

// patience is how long anything here may take.
const patience = 30 * time.Second
