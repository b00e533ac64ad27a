package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// A vault that is down is no reason for a function not to start, nor for its extension to end.
func TestVaultThatIsDown(t *testing.T) {
	emu, address := awsemu.Start(t)
	value := "first"
	emu.PutSecret(awsemu.Region, "apps/DB", &value, nil)
	emu.Interpose(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.Close()
		}
		return true
	})
	p := setting{aws: emu, address: address}.ready(t)
	p.get(t, "").want(t, "at the start", 502, `"__type":"ConnectionError"`)
	emu.Interpose(nil)
	p.want(t, secretURI, 200, "first")
}

// With LOG_LEVEL=NONE there are records and nothing else.
func TestSilence(t *testing.T) {
	p := setting{env: []string{"PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL=None", "AWS_ENDPOINT_URL=http://127.0.0.1:1"}}.ready(t)
	p.want(t, secretURI, 502)
	p.Shutdown()
	if log := p.Log(); log != "" {
		t.Errorf("got %s", log)
	}
	if out := p.Extensions()[0].Stdout(); !strings.Contains(out, `"status":502`) {
		t.Errorf("no record of it:\n%s", out)
	}
}

// hang lets requests wait until the test ends, and tells of each.
func hang(t *testing.T, emu *awsemu.Server) (asked <-chan struct{}) {
	t.Helper()
	all := make(chan struct{}, 100)
	ctx, release := context.WithCancel(context.Background())
	t.Cleanup(release)
	emu.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		all <- struct{}{}
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
		return true
	})
	return all
}

// The variables of the original say how long a vault is waited for.
func TestVaultThatIsLate(t *testing.T) {
	p := setting{env: []string{"SECRETS_MANAGER_TIMEOUT_MILLIS=50", "START=http://127.0.0.1:1"}}.ready(t)
	hang(t, p.aws)
	// Without the variable it would be ten seconds.
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	out, err := p.Invoke(ctx, p.event(t, secretURI))
	if err != nil || !strings.Contains(string(out), "TimeoutError") {
		t.Errorf("got %s, %v", out, err)
	}
	p.aws.Interpose(nil)
	p.want(t, "/systemsmanager/parameters/get?name=/apps/KEY", 200, "of all")
}

// A vault that says nothing costs the function a part of the time that it has, not its life.
func TestVaultThatIsSilent(t *testing.T) {
	p := setting{timeout: 6 * time.Second, env: []string{"START=http://127.0.0.1:1"}}.ready(t)
	p.want(t, "/systemsmanager/parameters/get?name=/apps/KEY", 200, "of all")
	hang(t, p.aws)
	p.want(t, secretURI, 504, "TimeoutError")
	p.aws.Interpose(nil)
	p.want(t, secretURI, 200, "first")
}

// The end comes in its time, with a record of everything, whatever is under way.
func TestEndWhileTheVaultIsAsked(t *testing.T) {
	for name, end := range map[string]func(*pair){
		"the event": func(p *pair) { p.Shutdown() },
		"SIGTERM": func(p *pair) {
			if err := p.Extensions()[0].Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := setting{}.ready(t)
			asked := hang(t, p.aws)
			var function sync.WaitGroup
			function.Go(func() {
				_, _ = p.Invoke(t.Context(), p.event(t, "/secretsmanager/get?secretId=other"))
			})
			<-asked
			end(p)
			x := p.Extensions()[0]
			if code := x.ExitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if out := x.Stdout(); !strings.Contains(out, `"kind":"seal"`) || !strings.Contains(out, `"path":"secretsmanager/other"`) {
				t.Errorf("the log is not sealed, or lacks the request:\n%s", out)
			}
			p.Kill()
			function.Wait()
		})
	}
}

func TestFreezeAndCrash(t *testing.T) {
	p := setting{}.ready(t)
	p.want(t, secretURI, 200, "first")
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	p.want(t, secretURI, 200, "first")
	p.Extensions()[0].Kill()
	if _, err := p.Invoke(t.Context(), []byte(`{"URL":"http://127.0.0.1:1"}`)); !errors.Is(err, lambdaemu.ErrExited) {
		t.Errorf("got %v", err)
	}
	// Another environment takes its place.
	setting{}.ready(t).want(t, secretURI, 200, "first")
}

// What keeps the extension from starting is told to whoever deployed it, and never made up for.
func TestInitErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, row := range map[string]struct{ env, want string }{
		"a bad variable":                {"SECRETS_MANAGER_TTL=301", "SECRETS_MANAGER_TTL: want a whole number from 0 to 300"},
		"a port in use":                 {"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT=" + port, "listen.aws: listening on 127.0.0.1:" + port},
		"a bad document":                {`KEYHOLE_CONFIG={"version":1,"audti":{}}`, "audti"},
		"a document that is not there":  {"KEYHOLE_CONFIG=/no/such.json", "no such file"},
		"a key that is none":            {"KEYHOLE_KEY=canary", "upstreams.region: auth.key: invalid client key"},
		"a token that is none":          {"KEYHOLE_TOKEN=canary token", "upstreams.region: auth.token: "},
		"a text that is no document":    {"KEYHOLE_CONFIG=version: canary", "KEYHOLE_CONFIG: want a document in JSON"},
		"a variable of no key":          {"KEYHOLE__LOG__LEVLE=debug", "KEYHOLE__LOG__LEVLE"},
		"nobody could ask":              {"AWS_SESSION_TOKEN=", "AWS_SESSION_TOKEN"},
		"a listener for other machines": {`KEYHOLE_CONFIG={"version":1,"listen":{"native":"0.0.0.0:0","insecure_http":true},"state":{"type":"memory"},"audit":{"sinks":[{"type":"stdout"}]}}`, "loopback"},
		"nothing to serve":              {`KEYHOLE_CONFIG={"version":1,"state":{"type":"memory"},"audit":{"sinks":[{"type":"stdout"}]}}`, "nothing to serve"},
	} {
		t.Run(name, func(t *testing.T) {
			p := setting{env: []string{row.env, "KEYHOLE_URL=http://127.0.0.1:1"}}.start(t)
			_, err := p.Ready(t.Context())
			var failed *lambdaemu.FunctionError
			if !errors.As(err, &failed) || failed.Type != "Keyhole.Configuration" || !strings.Contains(failed.Body, row.want) || strings.Contains(failed.Body, "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if code := p.Extensions()[0].ExitCode(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
		})
	}
}

// What the extension leaves behind where it crashes holds no secret.
func TestTheExtensionLeavesNoCore(t *testing.T) {
	x := setting{}.ready(t).Extensions()[0]
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", x.PID()))
	if err != nil {
		t.Skip("needs the /proc of Linux")
	}
	_, core, _ := strings.Cut(string(limits), "Max core file size")
	if got := strings.Fields(core); len(got) < 2 || got[0] != "0" || got[1] != "0" {
		t.Errorf("core files: got %.60q", core)
	}
}
