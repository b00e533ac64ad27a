package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
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
	role        = "arn:aws:iam::" + awsemu.Account + ":role/function"

	// patience is how long anything here may take.
	patience = 30 * time.Second
)

// document is the configuration of the function: a secret of Secrets Manager, builtin:scope, and a record that is
// acknowledged before the value goes out.
const document = `{
  "version": 1,
  "identity": {"issuer": "https://keyhole.test", "audience": "https://keyhole.test", "signing_key": "file:keys/signing.pem", "keys": "file:keys/jwks.json"},
  "upstreams": {"sm": {"type": "secretsmanager"}},
  "mounts": [{"path": "web", "upstream": "sm", "at": "apps/web"}],
  "state": {"type": "memory"},
  "audit": {"key": "file:keys/audit.key", "sinks": [{"type": "stdout", "required": true}]}
}`

// setting is what the starts need: built programs, the package of a function, that of none, and an emulator of AWS.
type setting struct {
	dir                        string
	hello, function, extension *program
	aws                        *awsemu.Server
	server                     *http.Server
	served                     chan struct{}
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

func (s *setting) close() error {
	err := s.server.Close()
	<-s.served
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *setting) prepare(ctx context.Context, aws string) error {
	value := secretValue
	s.aws.PutSecret(awsemu.Region, secretName, &value, nil)
	task, bare := filepath.Join(s.dir, "task"), filepath.Join(s.dir, "bare")
	for _, dir := range []string{task, bare} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	token, err := packaged(task)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	id, key, session := s.aws.Session(role)
	env := []string{"AWS_ENDPOINT_URL=" + aws, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + key, "AWS_SESSION_TOKEN=" + session}
	reader := filepath.Join(s.dir, "reader")
	s.hello = &program{name: "hello", bin: filepath.Join(s.dir, "hello"), dir: bare, event: []byte(`{}`), answer: "hello world"}
	s.function = &program{name: "function", bin: filepath.Join(s.dir, "function"), dir: task, env: env, event: urlEvent(token), answer: secretValue}
	s.extension = &program{
		name: "extension", bin: filepath.Join(s.dir, "extension"), beside: reader, dir: bare, env: append(env, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT="+port),
		event: []byte(`{"URL":"http://localhost:` + port + `/secretsmanager/get?secretId=` + secretName + `"}`), answer: secretValue,
	}
	for bin, pkg := range map[string]string{
		s.hello.bin: "./bench/coldstart/hello", reader: "./bench/coldstart/reader", s.function.bin: "./functions/lambda", s.extension.bin: "./functions/extension",
	} {
		if err := build(ctx, bin, pkg); err != nil {
			return err
		}
	}
	return nil
}

// packaged makes the package of the function, and a token that reads its secret.
func packaged(dir string) (token string, err error) {
	file := filepath.Join(dir, "keyhole.json")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		return "", err
	}
	if err := devdir.Create(dir, ""); err != nil {
		return "", err
	}
	c, err := edge.Drivers().Load(file, nil)
	if err != nil {
		return "", err
	}
	token, err = app.Issue(c, os.Getenv, app.TokenRequest{Scope: "read:web/**", Subject: "bench", TTL: c.Identity.MaxTTL})
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

// freePort is one that nobody has now.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return strconv.Itoa(port), ln.Close()
}
