// Package examples_test runs the examples, and the page on Lambda, against emulators of what they need.
package examples_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

const value = "s3cret"

// extension is the program of the layer, for this machine.
var extension string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "examples")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		extension = filepath.Join(dir, "extensions", "keyhole")
		if err := build(extension, "../functions/extension"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(out, pkg string) error {
	if text, err := exec.Command("../scripts/build-function", out, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// beside is a function with the extension beside it. Its role may do what the function needs, and nothing else.
func (c *cloud) beside(f *deployed) *deployed {
	const role = "app"
	c.store()
	c.roles[role] = []awsemu.Statement{
		{Action: awsemu.Strings{"secretsmanager:GetSecretValue"}, Resource: awsemu.Strings{"arn:aws:secretsmanager:*:*:secret:apps/web/*"}},
		{Action: awsemu.Strings{"ssm:GetParameter"}, Resource: awsemu.Strings{"arn:aws:ssm:*:*:parameter/apps/web/*"}},
		{Action: awsemu.Strings{"kms:Decrypt"}, Resource: awsemu.Strings{documentedKey}},
	}
	f.role, f.layers = role, []string{filepath.Dir(filepath.Dir(extension))}
	return f
}

// signed is what the examples answer.
type signed struct{ Signer, Signature, Version string }

// check invokes an example, which must have had the secret and must not have told it.
func (c *cloud) check(f *deployed) signed {
	c.t.Helper()
	out, err := c.call(f, []byte(`{"message":"an order"}`))
	if err != nil {
		c.t.Fatal(err)
	}
	var a signed
	if err := json.Unmarshal(out, &a); err != nil {
		c.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(value))
	mac.Write([]byte("an order"))
	if want := hex.EncodeToString(mac.Sum(nil)); a.Signature != want || a.Version == "" {
		c.t.Errorf("got %s, want the signature %s", out, want)
	}
	f.env.Shutdown() // what it wrote has been read then
	log := f.env.Log()
	for _, x := range f.env.Extensions() {
		log += x.Stdout()
	}
	if !strings.Contains(log, `"path":"secretsmanager/apps/web/db"`) {
		c.t.Errorf("the read is not in the audit log:\n%s", log)
	}
	if strings.Contains(string(out)+log, value) {
		c.t.Error("the secret is in the answer or in a log")
	}
	return a
}

func TestNode(t *testing.T) {
	c := newCloud(t)
	f := c.beside(&deployed{dir: "lambda-node", runtime: "nodejs24.x", handler: "index.handler", variables: map[string]string{
		"SIGNING_SECRET": "apps/web/db", "SIGNER_PARAMETER": "/apps/web/url",
	}})
	if a := c.check(f); a.Signer != "https://db.example" {
		t.Errorf("got %+v", a)
	}
}

func TestGo(t *testing.T) {
	c := newCloud(t)
	dir := t.TempDir()
	if err := build(filepath.Join(dir, "bootstrap"), "./lambda-go"); err != nil {
		t.Fatal(err)
	}
	f := c.beside(&deployed{dir: dir, runtime: "provided.al2023", handler: "bootstrap", variables: map[string]string{"SIGNING_SECRET": "apps/web/db"}})
	c.check(f)
}

// A function that asks for what its role may not read, or what there is not, is told so, and goes on.
func TestNodeIsRefused(t *testing.T) {
	c := newCloud(t)
	f := c.beside(&deployed{dir: "lambda-node", runtime: "nodejs24.x", handler: "index.handler", variables: map[string]string{
		"SIGNING_SECRET": "other/db", "SIGNER_PARAMETER": "/apps/web/url",
	}})
	for range 2 {
		var failed *lambdaemu.FunctionError
		if _, err := c.call(f, []byte(`{"message":"m"}`)); !errors.As(err, &failed) || !strings.Contains(failed.Body, "other/db: 502") {
			t.Errorf("got %v", err)
		}
	}
}

// The forms in which published clients send their requests, each for itself: names with and without escapes, ARNs, a slash
// before the question mark.
func TestClients(t *testing.T) {
	c := newCloud(t)
	f := c.beside(&deployed{dir: "testdata", runtime: "nodejs24.x", handler: "clients.handler"})
	type request struct {
		Client string `json:"client"`
		Path   string `json:"path"`
	}
	requests := []request{
		{"@middy/secrets-manager-extension", "/secretsmanager/get?secretId=apps/web/db"},
		{"@middy/secrets-manager-extension, ARN", "/secretsmanager/get?secretId=arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/web/db-a1b2c3"},
		{"@middy/ssm-extension", "/systemsmanager/parameters/get/?withDecryption=true&name=/apps/web/url"},
		{"lambda-params-secrets, secret", "/secretsmanager/get?secretId=apps%2Fweb%2Fdb&versionStage=AWSCURRENT"},
		{"lambda-params-secrets, parameter", "/systemsmanager/parameters/get?name=%2Fapps%2Fweb%2Furl&version=1&withDecryption=true"},
		{"lambda-params-secrets, secret as parameter", "/systemsmanager/parameters/get?name=%2Faws%2Freference%2Fsecretsmanager%2Fapps%2Fweb%2Fdb&withDecryption=true"},
		{"aws-lambda-secret-fetcher", "/secretsmanager/get?secretId=apps%2Fweb%2Fdb"},
	}
	event, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.call(f, event)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		want := value
		if strings.Contains(r.Path, "url") {
			want = "https://db.example"
		}
		if got[r.Client] != want {
			t.Errorf("%s: got %q, want %q", r.Client, got[r.Client], want)
		}
	}
}

// A variable of the original that is not understood keeps the function from starting, and is named.
func TestVariables(t *testing.T) {
	text, err := os.ReadFile("../docs/lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `((?:PARAMETERS_SECRETS|SECRETS_MANAGER|SSM_PARAMETER)[A-Z_]+)` \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != 9 {
		t.Errorf("the page has %d variables of the original, which has 9", len(rows))
	}
	c := newCloud(t)
	for _, row := range rows {
		f := c.beside(&deployed{dir: "lambda-node", runtime: "nodejs24.x", handler: "index.handler", variables: map[string]string{row[1]: "-1"}})
		var failed *lambdaemu.FunctionError
		if _, err := c.call(f, []byte(`{}`)); !errors.As(err, &failed) || failed.Type != "Keyhole.Configuration" || !strings.Contains(failed.Body, row[1]) {
			t.Errorf("%s: got %v", row[1], err)
		}
	}
}
