package examples_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// cloud is as much of an AWS account as a page about deploying uses. Its commands are those of the AWS CLI, which a command
// "aws" on PATH brings here: what they deploy runs on the emulator of Lambda, as the role that they made.
type cloud struct {
	t   *testing.T
	emu *awsemu.Server
	url string // of emu
	// token is what STS makes for the role of whoever types the commands.
	token func(audience string) string
	node  string // a program that runs handlers in Node.js

	mu        sync.Mutex // one command at a time
	commands  [][]string
	roles     map[string][]awsemu.Statement // by name, what their policies allow
	granted   []string                      // "ROLE ACTION", of all policies there ever were
	layers    map[string]string             // by ARN, unpacked
	functions map[string]*deployed
	envs      []*lambdaemu.Environment // all that were started
}

// deployed is a function.
type deployed struct {
	role, handler, runtime string
	dir                    string // of its package, unpacked
	layers                 []string
	variables              map[string]string
	permissions            map[string][]string // what add-permission was given, by statement
	url                    string              // "" without a Function URL

	mu  sync.Mutex             // one invocation at a time, as in one environment
	env *lambdaemu.Environment // nil before the first call
}

// newCloud puts its command aws on PATH.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, roles: map[string][]awsemu.Statement{}, layers: map[string]string{}, functions: map[string]*deployed{}}
	c.emu, c.url = awsemu.Start(t)
	c.node = nodeRuntime(t)
	srv := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\0' \"$PWD\" \"$@\" | curl -sS --fail-with-body --data-binary @- " + srv.URL + "\n"
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return c
}

// serve takes the words of a command, the directory where it was given first.
func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	words := strings.Split(strings.TrimSuffix(string(body), "\x00"), "\x00")
	if err != nil || len(words) < 3 {
		http.Error(w, "no command", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := newCommand(words[0], words[1:])
	c.commands = append(c.commands, m.said(words[1:]))
	var out string
	if m.name == "lambda invoke" {
		f := c.functions[m.one("--function-name")]
		c.mu.Unlock()
		err = c.invoke(f, m)
		c.mu.Lock()
	} else {
		out, err = c.run(m)
	}
	if err != nil {
		http.Error(w, strings.Join(words[1:3], " ")+": "+err.Error(), http.StatusBadRequest)
		return
	}
	if out != "" {
		_, _ = fmt.Fprintln(w, out)
	}
}

// command is what was typed.
type command struct {
	dir, name string // "lambda create-function"
	args      []string
	options   map[string][]string
}

func newCommand(dir string, words []string) *command {
	n := 2
	if words[1] == "wait" {
		n = 3
	}
	m := &command{dir: dir, name: strings.Join(words[:n], " "), options: map[string][]string{}}
	last := ""
	for _, word := range words[n:] {
		switch {
		case strings.HasPrefix(word, "--"):
			last = word
			m.options[last] = []string{}
		case last == "" || last == "--payload" && len(m.options[last]) == 1:
			m.args = append(m.args, word)
		default:
			m.options[last] = append(m.options[last], word)
		}
	}
	return m
}

// said is the words with what is in files in place of their names: files change.
func (m *command) said(words []string) []string {
	words = slices.Clone(words)
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, "file://"); ok {
			if text, err := os.ReadFile(filepath.Join(m.dir, name)); err == nil {
				words[i] = string(text)
			}
		}
	}
	return words
}

// one is the only value of an option.
func (m *command) one(option string) string {
	if values := m.options[option]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// file is what file:// or fileb:// names, else the text itself.
func (m *command) file(option string) ([]byte, error) {
	text := m.one(option)
	if _, name, ok := strings.Cut(text, "://"); ok && strings.HasPrefix(text, "file") {
		return os.ReadFile(filepath.Join(m.dir, name))
	}
	return []byte(text), nil
}

func (c *cloud) run(m *command) (string, error) {
	switch m.name {
	case "iam create-role":
		return "", c.createRole(m)
	case "iam put-role-policy":
		return "", c.allow(m)
	case "sts get-web-identity-token":
		return c.token(m.one("--audience")), nil
	case "lambda create-function":
		return "", c.createFunction(m)
	case "lambda publish-layer-version":
		return c.publishLayer(m)
	case "iam delete-role-policy":
		c.roles[m.one("--role-name")] = nil
		return "", nil
	case "lambda wait function-active-v2", "lambda wait function-updated-v2", "logs create-log-group", "logs put-retention-policy", "events put-rule", "events put-targets", "dynamodb create-table", "dynamodb wait table-exists":
		return "", nil // what they say is held against the models
	}
	f := c.functions[m.one("--function-name")]
	if f == nil {
		return "", fmt.Errorf("there is no such function, or the emulator does not know %s", m.name)
	}
	switch m.name {
	case "lambda update-function-configuration":
		return "", c.configure(f, m)
	case "lambda update-function-code":
		var err error
		if f.dir, err = c.unpack(m); err != nil {
			return "", err
		}
		return "", c.configure(f, m)
	case "lambda add-permission":
		f.permissions[m.one("--statement-id")] = append([]string{m.one("--action")}, m.options["--principal"]...)
		return "", nil
	case "lambda create-function-url-config":
		srv := httptest.NewServer(c.bridge(f))
		c.t.Cleanup(srv.Close)
		f.url = srv.URL + "/"
		return "", nil
	case "lambda get-function-url-config":
		return f.url, nil
	case "lambda get-function-configuration":
		return "", nil
	}
	return "", fmt.Errorf("the emulator does not know %s", m.name)
}

func (c *cloud) createRole(m *command) error {
	text, err := m.file("--assume-role-policy-document")
	if err != nil {
		return err
	}
	trust, err := awsemu.ParsePolicy(string(text))
	if err != nil {
		return err
	}
	if s := trust[0]; len(trust) != 1 || s.Principal["Service"] != "lambda.amazonaws.com" || !slices.Equal(s.Action, []string{"sts:AssumeRole"}) {
		return fmt.Errorf("Lambda may not assume that: %+v", trust)
	}
	c.roles[m.one("--role-name")] = nil
	return nil
}

func (c *cloud) allow(m *command) error {
	text, err := m.file("--policy-document")
	if err != nil {
		return err
	}
	// A condition on a list of values, which the emulator does not know: its STS makes tokens for one audience.
	text = bytes.ReplaceAll(text, []byte(`, "Condition": {"ForAllValues:StringEquals": {"sts:IdentityTokenAudience": "`+audience+`"}}`), nil)
	statements, err := awsemu.ParsePolicy(string(text))
	if err != nil {
		return err
	}
	name := m.one("--role-name")
	if _, ok := c.roles[name]; !ok {
		return fmt.Errorf("there is no role %s", name)
	}
	c.roles[name] = append(c.roles[name], statements...)
	for _, s := range statements {
		for _, action := range s.Action {
			c.granted = append(c.granted, awsemu.DocumentedRoles+name+" "+action)
		}
	}
	return nil
}

func (c *cloud) createFunction(m *command) error {
	role, ok := strings.CutPrefix(m.one("--role"), awsemu.DocumentedRoles)
	if _, made := c.roles[role]; !ok || !made {
		return fmt.Errorf("there is no role %s", m.one("--role"))
	}
	dir, err := c.unpack(m)
	if err != nil {
		return err
	}
	f := &deployed{
		role: role, handler: m.one("--handler"), runtime: m.one("--runtime"), dir: dir,
		permissions: map[string][]string{}, variables: map[string]string{},
	}
	c.functions[m.one("--function-name")] = f
	return c.configure(f, m)
}

// configure sets what is given, and ends the environment that has what was before.
func (c *cloud) configure(f *deployed, m *command) error {
	if _, ok := m.options["--environment"]; ok {
		text, err := m.file("--environment")
		if err != nil {
			return err
		}
		var e struct{ Variables map[string]string }
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("--environment: %w", err)
		}
		size := 0
		for name, value := range e.Variables {
			size += len(name) + len(value)
		}
		if size > 4096 {
			return fmt.Errorf("the variables have %d bytes, more than Lambda takes", size)
		}
		f.variables = e.Variables
	}
	if layers, ok := m.options["--layers"]; ok {
		f.layers = nil
		for _, arn := range layers {
			dir, ok := c.layers[arn]
			if !ok {
				return fmt.Errorf("there is no layer %s", arn)
			}
			f.layers = append(f.layers, dir)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.env != nil {
		f.env.Shutdown()
		f.env = nil
	}
	return nil
}

func (c *cloud) publishLayer(m *command) (string, error) {
	dir, err := c.unpack(m)
	if err != nil {
		return "", err
	}
	arn := "arn:aws:lambda:" + awsemu.Region + ":" + awsemu.Account + ":layer:" + m.one("--layer-name") + ":" + strconv.Itoa(len(c.layers)+1)
	c.layers[arn] = dir
	return arn, nil
}

// unpack makes a directory of a package, as Lambda does: who runs it is not who owns the files.
func (c *cloud) unpack(m *command) (string, error) {
	text, err := m.file("--zip-file")
	if err != nil {
		return "", err
	}
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return "", err
	}
	dir := c.t.TempDir()
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if f.Mode()&0o004 == 0 {
			return "", fmt.Errorf("%s in the package has mode %v: Lambda cannot read it", f.Name, f.Mode())
		}
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		in, err := f.Open()
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(in)
		if err == nil {
			err = os.WriteFile(name, text, f.Mode())
		}
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (c *cloud) invoke(f *deployed, m *command) error {
	if f == nil {
		return errors.New("there is no such function")
	}
	payload, err := m.file("--payload")
	if err != nil {
		return err
	}
	if len(m.args) != 1 {
		return fmt.Errorf("want one file for the answer, got %q", m.args)
	}
	out, err := c.call(f, payload)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.dir, m.args[0]), out, 0o600)
}

// bridge is the Function URL, for those whom the function's policy lets through.
func (c *cloud) bridge(f *deployed) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := func(action string) bool {
			for _, p := range f.permissions {
				if slices.Equal(p, []string{action, "*"}) {
					return true
				}
			}
			return false
		}
		c.mu.Lock()
		open := public("lambda:InvokeFunctionUrl") && public("lambda:InvokeFunction")
		c.mu.Unlock()
		if !open {
			http.Error(w, `{"Message":"Forbidden"}`, http.StatusForbidden)
			return
		}
		headers := map[string]string{}
		for name, values := range r.Header {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		event, err := json.Marshal(map[string]any{
			"version": "2.0", "rawPath": r.URL.Path, "rawQueryString": r.URL.RawQuery, "headers": headers, "isBase64Encoded": false,
			"requestContext": map[string]any{
				"apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
				"http": map[string]any{"method": r.Method, "path": r.URL.Path, "sourceIp": "203.0.113.7"},
			},
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out, err := c.call(f, event)
		var a struct {
			StatusCode int
			Body       string
		}
		if err == nil {
			err = json.Unmarshal(out, &a)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(a.StatusCode)
		_, _ = io.WriteString(w, a.Body)
	})
}

// call invokes a function in its one environment, which is started when the first call comes.
func (c *cloud) call(f *deployed, payload []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.env == nil {
		env, err := c.start(f)
		if err != nil {
			return nil, err
		}
		f.env = env
	}
	return f.env.Invoke(c.t.Context(), payload)
}

func (c *cloud) start(f *deployed) (*lambdaemu.Environment, error) {
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return nil, err
	}
	role := awsemu.DocumentedRoles + f.role
	c.mu.Lock()
	c.emu.Attach(role, c.roles[f.role]...)
	c.mu.Unlock()
	id, key, token := c.emu.Session(role)
	l := lambdaemu.Config{
		Command: filepath.Join(dir, "bootstrap"), Dir: dir, Timeout: proxytest.Patience,
		Env: []string{
			"AWS_ENDPOINT_URL=" + c.url, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + key, "AWS_SESSION_TOKEN=" + token,
			"LAMBDA_TASK_ROOT=" + dir,
		},
	}
	for _, dir := range f.layers {
		beside, err := filepath.Glob(filepath.Join(dir, "extensions", "*"))
		if err != nil {
			return nil, err
		}
		l.Extensions = append(l.Extensions, beside...)
	}
	if len(f.layers) > 0 {
		l.Env = append(l.Env, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT="+porttest.Reserve(c.t)) // 2773 may be somebody's
	}
	for name, value := range f.variables {
		l.Env = append(l.Env, name+"="+value)
	}
	if strings.HasPrefix(f.runtime, "nodejs") {
		l.Command = c.node
		l.Env = append(l.Env, "_HANDLER="+f.handler)
	}
	env, err := lambdaemu.Start(l)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.envs = append(c.envs, env)
	c.mu.Unlock()
	c.t.Cleanup(func() {
		env.Kill()
		if refused := env.Refused(); len(refused) > 0 {
			c.t.Errorf("the APIs of Lambda refused %q", refused)
		}
		if c.t.Failed() {
			c.t.Log(env.Log())
		}
	})
	_, err = env.Ready(c.t.Context())
	return env, err
}

// nodeRuntime is a program that runs handlers in Node.js. t is skipped where there is none.
func nodeRuntime(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	program, err := filepath.Abs("testdata/bootstrap.mjs")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(name, []byte("#!/bin/sh\nexec "+node+" "+program+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}
