package main_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

const document = `{
  "version": 1,
  "identity": {"issuer": "https://keyhole.test", "audience": "https://keyhole.test", "signing_key": "file:keys/signing.pem", "keys": "file:keys/jwks.json"},
  "upstreams": {"sm": {"type": "secretsmanager"}, "ssm": {"type": "parameterstore"}},
  "mounts": [
    {"path": "web", "upstream": "sm", "at": "apps/web"},
    {"path": "env", "upstream": "sm", "at": "apps", "layout": "fields"},
    {"path": "shared", "upstream": "ssm", "at": "shared"}
  ],
  "state": {"type": "memory"},
  "audit": {"key": "file:keys/audit.key", "sinks": [{"type": "file", "path": "audit/audit.jsonl", "required": true}]}
}`

// bootstrap is the function as it is shipped, and clocked one whose wall clock tests move.
var bootstrap, clocked string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lambda")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		bootstrap, clocked = filepath.Join(dir, "bootstrap"), filepath.Join(dir, "clocked")
		overlay, err := proxytest.ClockOverlay(dir)
		if err == nil {
			err = errors.Join(build(bootstrap), build(clocked, overlay))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// build makes the function as it is built for Lambda, with more flags of go build where a test wants them.
func build(file string, flags ...string) error {
	out, err := exec.Command("../../scripts/build-function", append([]string{file, "."}, flags...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// function is a package beside an emulator of AWS.
type function struct {
	dir    string
	aws    *awsemu.Server
	env    []string
	config *config.Config
	token  string
}

func newFunction(t *testing.T) *function {
	t.Helper()
	return newFunctionOf(t, document)
}

func newFunctionOf(t *testing.T, document string) *function {
	t.Helper()
	emu, url := awsemu.Start(t)
	value := "first"
	emu.PutSecret(awsemu.Region, "apps/web/DB", &value, nil)
	emu.PutParameter(awsemu.Region, "/shared/KEY", "SecureString", "of all")
	f := &function{dir: t.TempDir(), aws: emu, env: []string{
		"AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=" + awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY=" + awsemu.SecretKey,
	}}
	proxytest.WriteDocument(t, f.dir, "") // makes the keys
	file := filepath.Join(f.dir, "keyhole.json")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := edge.Drivers().Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.config = c
	f.scope(t, "read:**")
	return f
}

// scope gives further requests a token with this scope.
func (f *function) scope(t *testing.T, scope string) {
	t.Helper()
	f.token = proxytest.Issuer(f.config)(t, map[string]string{"scope": scope})
}

// slack is for busy machines. What does not end by itself takes ten seconds, or never ends.
const slack = 5 * time.Second

func (f *function) start(t *testing.T, c lambdaemu.Config) *lambdaemu.Environment {
	t.Helper()
	if c.Command == "" {
		c.Command = bootstrap
	}
	c.Dir, c.Env = f.dir, append(c.Env, f.env...)
	c.Timeout, c.Slack = cmp.Or(c.Timeout, proxytest.Patience), cmp.Or(c.Slack, slack)
	e, err := lambdaemu.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		if refused := e.Refused(); len(refused) > 0 {
			t.Errorf("the Runtime API refused %q", refused)
		}
		if t.Failed() {
			t.Log(e.Log())
		}
	})
	return e
}

func (f *function) ready(t *testing.T, c lambdaemu.Config) *lambdaemu.Environment {
	t.Helper()
	e := f.start(t, c)
	if _, err := e.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func (f *function) get(path string) []byte { return f.request("GET", path, "") }

// request is the event of a Function URL.
func (f *function) request(method, path, body string) []byte {
	e, _ := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "rawQueryString": "",
		"headers": map[string]string{"authorization": "Bearer " + f.token, "content-type": "application/json"},
		"requestContext": map[string]any{
			"apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
			"http": map[string]any{"method": method, "path": path, "sourceIp": "203.0.113.7"},
		},
		"body": body, "isBase64Encoded": false,
	})
	return e
}

// read wants a value, and from where.
func (f *function) read(t *testing.T, e *lambdaemu.Environment, path, want, from string) {
	t.Helper()
	out, err := e.Invoke(t.Context(), f.get("/v1/secrets/"+path))
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != 200 || !strings.Contains(a.Body, `"value":"`+want+`"`) || a.Headers["X-Keyhole-Cache"] != from {
		t.Errorf("%s: got %d %s from %s, want %q from %s", path, a.StatusCode, a.Body, a.Headers["X-Keyhole-Cache"], want, from)
	}
}

func TestFunction(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{})
	f.read(t, e, "web/DB", "first", "miss")
	f.read(t, e, "web/DB", "first", "hit")
	f.read(t, e, "shared/KEY", "of all", "miss")

	value := "second"
	f.aws.PutSecret(awsemu.Region, "apps/web/DB", &value, nil)
	f.read(t, e, "web/DB", "first", "hit") // nobody has said so
	const rotated = `{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467719","detail-type":"AWS Service Event via CloudTrail","source":"aws.secretsmanager","detail":{"eventName":"RotationSucceeded","additionalEventData":{"SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/web/DB-a1b2c3"}}}`
	if out, err := e.Invoke(t.Context(), []byte(rotated)); err != nil || !strings.HasPrefix(string(out), `{"invalidated":`) || string(out) == `{"invalidated":0}` {
		t.Fatalf("got %s, %v", out, err)
	}
	f.read(t, e, "web/DB", "second", "miss")
	const moved = `{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467721","detail-type":"Secret Label Updated","source":"aws.secretsmanager","resources":["arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/web/DB-a1b2c3"],"detail":{"name":"apps/web/DB","labelUpdated":"AWSCURRENT","versionId":"3"}}`
	if out, err := e.Invoke(t.Context(), []byte(moved)); err != nil || string(out) == `{"invalidated":0}` {
		t.Errorf("got %s, %v", out, err)
	}
	f.read(t, e, "web/DB", "second", "miss")

	for payload, want := range map[string]string{
		`{"detail-type":"Parameter Store Change","source":"aws.ssm","detail":{"name":"/shared/KEY","operation":"Update"}}`:  `{"invalidated":1}`,
		`{"detail-type":"Parameter Store Change","source":"aws.ssm","detail":{"name":"/apps/web/DB","operation":"Update"}}`: `{"invalidated":0}`, // a secret's name
	} {
		if out, err := e.Invoke(t.Context(), []byte(payload)); err != nil || string(out) != want {
			t.Errorf("%s: got %s, %v, want %s", payload, out, err, want)
		}
	}
	f.read(t, e, "shared/KEY", "of all", "miss")

	if err := e.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := e.Thaw(); err != nil {
		t.Fatal(err)
	}
	f.read(t, e, "web/DB", "second", "hit")

	if out, err := e.Invoke(t.Context(), []byte(`{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}`)); err != nil || string(out) != `{"ready":true}` {
		t.Errorf("got %s, %v", out, err)
	}
	var failed *lambdaemu.FunctionError
	if out, err := e.Invoke(t.Context(), []byte(`{"Records":[]}`)); !errors.As(err, &failed) || !strings.Contains(failed.Body, "unknown event") {
		t.Errorf("got %s, %v", out, err)
	}
	f.read(t, e, "web/DB", "second", "hit")

	if code := e.Shutdown(); code != 0 {
		t.Errorf("exit code %d: SIGTERM did not end it within its time\n%s", code, e.Log())
	}
	log, err := os.ReadFile(filepath.Join(f.dir, "audit", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"trust":"event"`, `"sub":"aws.secretsmanager"`, `"via":{"surface":"lambda","source_ip":"203.0.113.7"`, `"kind":"seal"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the audit log does not have %s", want)
		}
	}
	if strings.Contains(string(log)+e.Log(), value) {
		t.Error("a value is in a log")
	}
}

// What a process that crashes or is looked at by others leaves behind holds no secret.
func TestTheFunctionLeavesNoCore(t *testing.T) {
	e := newFunction(t).ready(t, lambdaemu.Config{})
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", e.PID()))
	if err != nil {
		t.Skip("needs the /proc of Linux")
	}
	_, core, _ := strings.Cut(string(limits), "Max core file size")
	if got := strings.Fields(core); len(got) < 2 || got[0] != "0" || got[1] != "0" {
		t.Errorf("core files: got %.60q", core)
	}
}

func TestConfigurationInTheEnvironment(t *testing.T) {
	f := newFunction(t)
	if err := os.Remove(filepath.Join(f.dir, "keyhole.json")); err != nil {
		t.Fatal(err)
	}
	quiet := strings.Replace(document, `"version": 1,`, `"version": 1, "log": {"level": "error"},`, 1)
	e := f.ready(t, lambdaemu.Config{Env: []string{"KEYHOLE_CONFIG=" + quiet}})
	f.read(t, e, "web/DB", "first", "miss")
	if log := e.Log(); strings.Contains(log, `"level":"INFO"`) {
		t.Errorf("logged although the level is error: %s", log)
	}
}

func TestInitError(t *testing.T) {
	f := newFunction(t)
	for given, want := range map[string]string{
		`{"version":1,"audti":{}}`: "audti",
		// The default is the server's.
		strings.Replace(document, `"state": {"type": "memory"},`, "", 1): `state.type: this build has no driver for \"file\"; it has memory`,
	} {
		e := f.start(t, lambdaemu.Config{Env: []string{"KEYHOLE_CONFIG=" + given}})
		_, err := e.Ready(t.Context())
		var failed *lambdaemu.FunctionError
		if !errors.As(err, &failed) || failed.Type != "Keyhole.Configuration" || !strings.Contains(failed.Body, want) || !json.Valid([]byte(failed.Body)) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// That a signing key is none of the keys takes arithmetic, which goes on while the function asks for its first event.
func TestForeignSigningKey(t *testing.T) {
	f := newFunction(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.MarshalSigningKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "keys", "signing.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	e := f.ready(t, lambdaemu.Config{})
	for range 2 {
		var failed *lambdaemu.FunctionError
		if out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB")); !errors.As(err, &failed) || strings.Contains(failed.Body, "signing") {
			t.Errorf("got %s, %v", out, err)
		}
	}
	e.Kill()
	if got := strings.Count(e.Log(), "signing_key: its public half is not in keys"); got != 1 {
		t.Errorf("the log says it %d times: %s", got, e.Log())
	}
	if strings.Contains(e.Stdout(), `"access"`) {
		t.Errorf("recorded %s", e.Stdout())
	}
}

func TestConcurrentInvocations(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{Concurrency: 8})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 4 {
				if out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB")); err != nil || !strings.Contains(string(out), `first`) {
					t.Errorf("got %s, %v", out, err)
				}
			}
		})
	}
	wg.Wait()
	reads := 0
	for _, call := range f.aws.Calls() {
		if strings.HasPrefix(call.Action, "secretsmanager:") {
			reads++
		}
	}
	if reads != 1 {
		t.Errorf("%d reads of one secret, want 1", reads)
	}
}

// Invocations that an environment is given at one time are served at one time: each of these waits for the other.
func TestInvocationsOverlap(t *testing.T) {
	f := newFunction(t)
	value := "first"
	f.aws.PutSecret(awsemu.Region, "apps/web/OTHER", &value, nil)
	e := f.ready(t, lambdaemu.Config{Concurrency: 2})
	var mu sync.Mutex
	asked := map[string]bool{} // a try again is no other read
	both := make(chan struct{})
	f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		if !asked[string(body)] {
			if asked[string(body)] = true; len(asked) == 2 {
				close(both)
			}
		}
		mu.Unlock()
		select {
		case <-both:
		case <-r.Context().Done():
		}
		return false
	})
	var wg sync.WaitGroup
	for _, name := range []string{"DB", "OTHER"} {
		wg.Go(func() { f.read(t, e, "web/"+name, "first", "miss") })
	}
	wg.Wait()
	f.aws.Interpose(nil)
}

// The invocation has an answer although the vault has none.
func TestVaultThatDoesNotAnswer(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{Timeout: 2 * time.Second})
	ctx, release := context.WithCancel(context.Background())
	t.Cleanup(release)
	f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
		return true
	})
	out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB"))
	if err != nil || !strings.Contains(string(out), `"statusCode":504`) {
		t.Errorf("got %s, %v", out, err)
	}
	f.aws.Interpose(nil)
}

func TestCrash(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{})
	f.read(t, e, "web/DB", "first", "miss")
	e.Kill()
	if _, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB")); !errors.Is(err, lambdaemu.ErrExited) {
		t.Errorf("got %v", err)
	}
	f.read(t, f.ready(t, lambdaemu.Config{}), "web/DB", "first", "miss")
}
