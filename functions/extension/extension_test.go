package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

const (
	role        = "arn:aws:iam::" + awsemu.Account + ":role/function"
	tokenHeader = "X-Aws-Parameters-Secrets-Token"
)

// bootstrap and keyhole are the function and the extension, as they are built for Lambda but for the architecture; clocked
// is the extension with a wall clock that tests move.
var bootstrap, keyhole, clocked string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "extension")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		bootstrap, keyhole, clocked = filepath.Join(dir, "bootstrap"), filepath.Join(dir, "keyhole"), filepath.Join(dir, "clocked", "keyhole")
		overlay, err := proxytest.ClockOverlay(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for _, args := range [][]string{{bootstrap, "./testdata/function"}, {keyhole, "."}, {clocked, ".", overlay}} {
			if out, err := exec.Command("../../scripts/build-function", args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// pair is a function with the extension beside it, and AWS behind them.
type pair struct {
	*lambdaemu.Environment
	aws *awsemu.Server
	url string // of the extension
}

// setting is what a pair is started with.
type setting struct {
	env     []string // beside what Lambda and AWS say; the last of several values of a variable counts
	dir     string   // of the function's package; "": an empty one
	aws     *awsemu.Server
	address string           // of aws; "": a new one
	clock   *proxytest.Clock // of the extension and of AWS; nil: that of the machine
	timeout time.Duration    // of an invocation; 0: it has all the time
}

// slack is for busy machines. What does not end by itself takes ten seconds, or never ends.
const slack = 5 * time.Second

// start starts a pair of which nothing is known yet.
func (s setting) start(t *testing.T) *pair {
	t.Helper()
	if s.aws == nil {
		s.aws, s.address = awsemu.Start(t)
		value := "first"
		s.aws.PutSecret(awsemu.Region, "apps/DB", &value, nil)
		s.aws.PutParameter(awsemu.Region, "/apps/KEY", "SecureString", "of all")
	}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	id, key, token := s.aws.Session(role)
	port := porttest.Reserve(t)
	env := append([]string{
		"AWS_ENDPOINT_URL=" + s.address, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + key, "AWS_SESSION_TOKEN=" + token,
		"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT=" + port, "LAMBDA_TASK_ROOT=" + s.dir, "PORT=1",
		"START=http://127.0.0.1:" + port + secretURI,
	}, s.env...)
	extension := keyhole
	if s.clock != nil {
		extension, env = clocked, append(env, s.clock.Env())
		s.aws.SetWall(s.clock.Now)
	}
	e, err := lambdaemu.Start(lambdaemu.Config{
		Command: bootstrap, Dir: s.dir, Env: env, Extensions: []string{extension}, Timeout: cmp.Or(s.timeout, proxytest.Patience), Slack: slack,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		if refused := e.Refused(); len(refused) > 0 {
			t.Errorf("Lambda's APIs refused %q", refused)
		}
		if t.Failed() {
			t.Log(e.Log())
		}
	})
	return &pair{e, s.aws, "http://127.0.0.1:" + port}
}

// ready starts a pair, and waits until it is up.
func (s setting) ready(t *testing.T) *pair {
	t.Helper()
	p := s.start(t)
	if _, err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

type answer struct {
	Status  int
	Headers http.Header
	Body    string
}

// event has the function send a GET to the extension, with the token that both have unless the headers, name and value
// each, say another.
func (p *pair) event(t *testing.T, uri string, headers ...string) []byte {
	t.Helper()
	all := map[string]string{tokenHeader: "${AWS_SESSION_TOKEN}"}
	for i := 0; i < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
		if headers[i+1] == "" {
			delete(all, headers[i])
		}
	}
	if strings.HasPrefix(uri, "/") {
		uri = p.url + uri
	}
	event, err := json.Marshal(map[string]any{"URL": uri, "Headers": all})
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// get sends an event, and wants an answer.
func (p *pair) get(t *testing.T, uri string, headers ...string) answer {
	t.Helper()
	out, err := p.Invoke(t.Context(), p.event(t, uri, headers...))
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// want wants an answer of this status with each of these parts.
func (p *pair) want(t *testing.T, uri string, status int, parts ...string) answer {
	t.Helper()
	a := p.get(t, uri)
	a.want(t, uri, status, parts...)
	return a
}

func (a answer) want(t *testing.T, what string, status int, parts ...string) {
	t.Helper()
	ok := a.Status == status
	for _, part := range parts {
		ok = ok && strings.Contains(a.Body, part)
	}
	if !ok {
		t.Errorf("%s: got %d %s, want %d with %q", what, a.Status, a.Body, status, parts)
	}
}

const secretURI = "/secretsmanager/get?secretId=apps/DB"
