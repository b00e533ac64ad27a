package app_test

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var program = &app.Beside{Name: "payments", Token: "the-session-token-of-payments"}

// besideProgram is a server beside program, listening with both dialects.
func besideProgram(t *testing.T, o proxytest.Options) (*proxytest.Server, *app.Server) {
	t.Helper()
	o.Beside = program
	o.Document = strings.Replace(cmp.Or(o.Document, proxytest.Document), `admin: "127.0.0.1:0"`, `admin: "", aws: {address: "127.0.0.1:0"}`, 1)
	s := proxytest.NewServer(t, o)
	l, err := s.App.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, l
}

// What a server answers to its clients, an extension answers to the function and everything else on its machine.
func TestScriptsBesideAProgram(t *testing.T) {
	target := func(url func(*app.Server) string) func(t *testing.T) proxytest.Target {
		return func(t *testing.T) proxytest.Target {
			s, l := besideProgram(t, proxytest.Options{})
			native := s.Target()
			return proxytest.Target{URL: url(l), Token: native.Token, Native: &native}
		}
	}
	t.Run("aws", func(t *testing.T) {
		proxytest.RunScripts(t, "../httpapi/testdata/aws/*.txt", target((*app.Server).AWSURL))
	})
	t.Run("native", func(t *testing.T) {
		proxytest.RunScripts(t, "../httpapi/testdata/*.txt", target((*app.Server).NativeURL))
	})
}

// reads is a vault whose value is the number of the read.
type reads struct{ n atomic.Int64 }

func (u *reads) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	n := strconv.FormatInt(u.n.Add(1), 10)
	return &secret.Secret{Value: secret.NewValue([]byte(n)), Version: secret.Version(n)}, nil
}

func (u *reads) Close() error { return nil }

// A process that was frozen does not feel the time that has passed; what it kept is as old as the clock on the wall says.
func TestAgeAfterAThaw(t *testing.T) {
	var wall atomic.Int64
	start := time.Now()
	u := &reads{}
	_, l := besideProgram(t, proxytest.Options{
		Wall: func() time.Time { return start.Add(time.Duration(wall.Load())) },
		Mono: func() time.Duration { return 0 },
		Drivers: func(d app.Drivers) app.Drivers {
			d.Upstreams["embedded"] = func(app.Env, config.Upstream) (secret.Upstream, error) { return u, nil }
			return d
		},
	})
	for _, tt := range []struct {
		passed time.Duration
		want   string
	}{{0, "1"}, {0, "1"}, {10 * time.Minute, "2"}, {10 * time.Minute, "2"}, {24 * time.Hour, "3"}} {
		wall.Store(int64(tt.passed))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.AWSURL()+"/secretsmanager/get?secretId=web/production/KEY", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Aws-Parameters-Secrets-Token", program.Token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), `"SecretString":"`+tt.want+`"`) {
			t.Errorf("after %v: got %s, %v, want %q", tt.passed, body, err, tt.want)
		}
	}
}

// A server is not beside anybody: what is for the function of an extension is refused, and so is being off.
func TestServersAreBesideNobody(t *testing.T) {
	for name, change := range map[string][2]string{
		"identity.function": {"identity:\n", "identity:\n  function: {scope: [\"read:**\"]}\n"},
		"listen.native":     {`native: "127.0.0.1:0"`, `native: ""`},
	} {
		dir := t.TempDir()
		proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, change[0], change[1], 1))
		err := open(t, dir, nil)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error of %s", err, name)
		}
	}
}

// The name of the program in records is nobody else's.
func TestRuleNamedLikeTheProgram(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, "upstreams:\n", `  trust:
    - {name: function, template: key, with: {client_id: a}, jwks: "file:keys/jwks.json", map: {scope: ["read:**"]}}
upstreams:
`, 1))
	if err := open(t, dir, program); err == nil || !strings.Contains(err.Error(), `"function"`) {
		t.Errorf("got %v", err)
	}
}

// open says why a server does not come up.
func open(t *testing.T, dir string, beside *app.Beside) error {
	t.Helper()
	drivers := full.Drivers()
	c, err := drivers.Load(filepath.Join(dir, "keyhole.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := app.Open(t.Context(), c, drivers, app.Options{Beside: beside})
	if err == nil {
		err = r.Close()
	}
	return err
}

// The document of whoever has none is the first that there is, of what was given, the package, a layer, and what is made.
func TestLoadBeside(t *testing.T) {
	const document = `{"version":1,"region":"NAME","listen":{"aws":"127.0.0.1:2773"},"state":{"type":"memory"},"audit":{"sinks":[{"type":"stdout"}]}}`
	text := func(name string) string { return strings.Replace(document, "NAME", name, 1) }
	made := func() ([]byte, error) { return []byte(text("made")), nil }
	pkg, layer, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "file.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(given, want string, environ ...string) {
		t.Helper()
		c, err := edge.Drivers().LoadBeside(given, []string{pkg, layer}, environ, made)
		if err != nil || c.Region != want {
			t.Fatalf("got %+v, %v, want %s", c, err, want)
		}
		// Nothing is open that was not asked for, whatever the platform says to the function.
		if l := c.Listen; l.Native.Address != "" || l.Admin != "" || l.AWS.Address == "" {
			t.Errorf("%s: got %+v", want, l)
		}
	}
	load("", "made", "PORT=8080")
	write(filepath.Join(layer, "keyhole.json"), text("layer"))
	load("", "layer")
	write(filepath.Join(pkg, "keyhole.json"), text("package"))
	load("", "package", "PORT=8080")
	write(file, text("file"))
	load(file, "file")
	load(text("given"), "given")
	load(text("given"), "environment", "KEYHOLE__REGION=environment")

	c, err := edge.Drivers().LoadBeside(text("given"), []string{pkg}, []string{"KEYHOLE__LISTEN__NATIVE=127.0.0.1:1", "KEYHOLE__LISTEN__ADMIN=127.0.0.1:2"}, made)
	if err != nil || c.Listen.Native.Address != "127.0.0.1:1" || c.Listen.Admin != "127.0.0.1:2" {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, bad := range []string{"version: 1\nidentity: {key: canary}", `"canary"`, "\ufeff" + text("canary"), "canary\n.json"} {
		if _, err := edge.Drivers().LoadBeside(bad, []string{pkg}, nil, made); err == nil || !strings.Contains(err.Error(), "KEYHOLE_CONFIG") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: got %v, which must not quote it", bad, err)
		}
	}
	write(filepath.Join(pkg, "keyhole.json"), "{")
	if _, err := edge.Drivers().LoadBeside("", []string{pkg, layer}, nil, made); err == nil || !strings.Contains(err.Error(), filepath.Join(pkg, "keyhole.json")) {
		t.Errorf("got %v: a document that is broken is not passed over", err)
	}
}

// A request that takes longer than the end has time for loses its connection, and is waited for all the same: the app must
// not be closed before it has made its record.
func TestTheEndWaitsForRequestsThatAreCutOff(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	l, err := s.App.Listen()
	if err != nil {
		t.Fatal(err)
	}
	began, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go l.Handle(func() {
		close(began)
		<-end
		close(ended)
	})
	<-began
	ctx, stop := context.WithCancel(t.Context())
	stop()
	time.AfterFunc(20*time.Millisecond, func() { close(end) }) // without the wait it is over by then
	if err := l.Serve(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("a request is still under way")
	}
}
