package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// counting is an upstream whose value and version are the number of the read, or an error.
type counting struct {
	reads atomic.Int64
	fails atomic.Pointer[error]
}

func (u *counting) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	n := strconv.FormatInt(u.reads.Add(1), 10)
	if err := u.fails.Load(); err != nil {
		return nil, *err
	}
	return &secret.Secret{Value: secret.NewValue([]byte("v" + n)), Version: secret.Version(n), CreatedAt: time.Unix(1, 0)}, nil
}

func (u *counting) Close() error { return nil }

// awsOver is a server on u, and a function that sends a GET of its AWS dialect with a token for everything.
func awsOver(t *testing.T, u secret.Upstream) (*proxytest.Server, func(uri string) (*http.Response, string)) {
	t.Helper()
	s := proxytest.NewServer(t, proxytest.Options{Drivers: func(d app.Drivers) app.Drivers {
		d.Upstreams["embedded"] = func(app.Env, config.Upstream) (secret.Upstream, error) { return u, nil }
		return d
	}})
	target := s.AWSTarget()
	token := target.Token(t, map[string]string{"scope": "read:**"})
	return s, func(uri string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target.URL+uri, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Aws-Parameters-Secrets-Token", token)
		resp, err := target.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
}

// refreshNow goes past the cache, fills it where it succeeds, and where it fails is an error that leaves the cache alone.
func TestRefreshNow(t *testing.T) {
	u := &counting{}
	_, get := awsOver(t, u)
	want := func(uri string, status int, part string) {
		t.Helper()
		if resp, body := get(uri); resp.StatusCode != status || !strings.Contains(body, part) {
			t.Errorf("%s: got %d %s, want %d with %s", uri, resp.StatusCode, body, status, part)
		}
	}
	const uri = "/secretsmanager/get?secretId=web/production/KEY"
	want(uri, 200, `"SecretString":"v1"`)
	want(uri+"&refreshNow=false", 200, `"SecretString":"v1"`)
	want(uri+"&refreshNow=true", 200, `"SecretString":"v2"`)
	want(uri, 200, `"SecretString":"v2"`)
	want("/v1/web/production/KEY?refreshNow=1", 200, `"SecretString":"v3"`)
	broken := error(secret.ErrUnavailable)
	u.fails.Store(&broken)
	want(uri+"&refreshNow=true", 502, `{"__type":"ConnectionError","message":"`)
	want(uri, 200, `"SecretString":"v3"`)
	late := error(secret.ErrTimeout)
	u.fails.Store(&late)
	want(uri+"&refreshNow=true", 504, `{"__type":"TimeoutError","message":"`)
	want(uri, 200, `"SecretString":"v3"`)
	u.fails.Store(nil)
	before := u.reads.Load()
	want(uri+"&refreshNow=true", 200, `"SecretString":"v`)
	if got := u.reads.Load() - before; got != 1 {
		t.Errorf("%d reads for one refresh", got)
	}
}

// A version that is asked for by its id and its stage is the one that has both now, whatever is cached for the stage.
func TestVersionIDWithStage(t *testing.T) {
	u := &counting{}
	_, get := awsOver(t, u)
	const uri = "/secretsmanager/get?secretId=web/production/KEY&versionStage=AWSCURRENT"
	for _, row := range []struct {
		id    string
		body  string
		reads int64
	}{
		{"1", `"VersionId":"1","SecretString":"v1","VersionStages":["AWSCURRENT"]`, 1},
		{"1", `"SecretString":"v1"`, 1},
		{"2", `"SecretString":"v2"`, 2}, // newer than what is cached
		{"9", `{"__type":"ResourceNotFoundException"`, 3},
		{"5&refreshNow=true", `{"__type":"ResourceNotFoundException"`, 4},
	} {
		if _, body := get(uri + "&versionId=" + row.id); !strings.Contains(body, row.body) || u.reads.Load() != row.reads {
			t.Errorf("%s: got %s after %d reads, want %s after %d", row.id, body, u.reads.Load(), row.body, row.reads)
		}
	}
}

// placed is an upstream of a cloud, whose account is known when it has answered.
type placed struct {
	counting
	region string
}

func (u *placed) Location(string) secret.Location {
	l := secret.Location{Region: u.region}
	if u.reads.Load() > 0 {
		l.Account = "123456789012"
	}
	return l
}

// The secret of another account or region is not this one's of the same name.
func TestARNOfAnotherPlace(t *testing.T) {
	const (
		secretURI    = "/secretsmanager/get?secretId=arn:aws:secretsmanager:"
		parameterURI = "/systemsmanager/parameters/get?name=arn:aws:ssm:"
		referenceURI = "/systemsmanager/parameters/get?withDecryption=true&name="
		reference    = "/aws/reference/secretsmanager/"
		name         = "web/production/KEY"
		found        = "v1"
		noSecret     = `{"__type":"ResourceNotFoundException"`
		noParameter  = `{"__type":"ParameterNotFound"`
	)
	for _, row := range []struct {
		uri, want string
		reads     int64
	}{
		{secretURI + "eu-west-1:123456789012:secret:" + name + "-a1b2c3", found, 1},
		{secretURI + "eu-west-1:999999999999:secret:" + name + "-a1b2c3", noSecret, 1},
		{secretURI + "us-east-1:123456789012:secret:" + name + "-a1b2c3", noSecret, 0},
		{"/v1/arn:aws:secretsmanager:eu-west-1:999999999999:secret:" + name, noSecret, 1},
		{"/secretsmanager/get?secretId=arn:keyhole:secretsmanager:test-1::secret:" + name, found, 1},
		{parameterURI + "eu-west-1:123456789012:parameter/" + name, found, 1},
		{parameterURI + "eu-west-1::parameter/" + name, found, 1},
		{parameterURI + "eu-west-1:999999999999:parameter/" + name, noParameter, 1},
		{parameterURI + "us-east-1:123456789012:parameter/" + name, noParameter, 0},
		{referenceURI + reference + "arn:aws:secretsmanager:eu-west-1:999999999999:secret:" + name + "-a1b2c3", noParameter, 1},
		{referenceURI + "arn:aws:ssm:us-east-1:123456789012:parameter" + reference + name, noParameter, 0},
		{referenceURI + "arn:aws:ssm:eu-west-1:123456789012:parameter" + reference + name, found, 1},
	} {
		u := &placed{region: "eu-west-1"}
		_, get := awsOver(t, u)
		for range 2 { // from the upstream, and from the cache
			if resp, body := get(row.uri); !strings.Contains(body, row.want) || u.reads.Load() != row.reads || resp.Header.Get("X-Keyhole-Decision") == "" && row.want == found {
				t.Errorf("%s: got %s after %d reads, want %s after %d", row.uri, body, u.reads.Load(), row.want, row.reads)
			}
		}
		if _, body := get("/secretsmanager/get?secretId=" + name); !strings.Contains(body, found) {
			t.Errorf("%s: by name after it: got %s", row.uri, body)
		}
	}
}

// Every request of the dialect gives its place back, be it that something panics; while all are taken, only /ping answers.
func TestAWSPlacesInFlight(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 1}\n"})
	target := s.AWSTarget()
	token := target.Token(t, map[string]string{"scope": "read:**"})
	a, err := httpapi.NewAWS(httpapi.AWSConfig{Proxy: s.App.Proxy})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(w http.ResponseWriter, uri string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+uri, http.NoBody)
		r.Header.Set("X-Aws-Parameters-Secrets-Token", token)
		a.ServeHTTP(w, r)
	}
	const absent = "/secretsmanager/get?secretId=web/production/ABSENT"
	want := func(uri string, status int, part string) {
		t.Helper()
		w := httptest.NewRecorder()
		if ask(w, uri); w.Code != status || !strings.Contains(w.Body.String(), part) || w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: got %d %s, want %d with %s", uri, w.Code, w.Body, status, part)
		}
	}
	panicking := &brittle{ResponseRecorder: httptest.NewRecorder()}
	if ask(panicking, absent); panicking.Code != 500 || strings.TrimSpace(panicking.Body.String()) != `{"__type":"InternalFailure"}` {
		t.Errorf("after a panic: got %d %s", panicking.Code, panicking.Body)
	}
	for _, uri := range []string{absent, "/secretsmanager/get", "/v1/a//b", absent} {
		want(uri, 400, "")
	}
	if err := s.App.Proxy.Enter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	want(absent, 503, `{"__type":"ServiceUnavailable","message":"`)
	want("/ping", 200, "healthy")
	s.App.Proxy.Leave()
	want(absent, 400, `{"__type":"ResourceNotFoundException"`)
}

// brittle panics when it is first written to.
type brittle struct {
	*httptest.ResponseRecorder
	panicked bool
}

func (b *brittle) WriteHeader(status int) {
	if !b.panicked {
		b.panicked = true
		panic("a defect")
	}
	b.ResponseRecorder.WriteHeader(status)
}

// fixed is an upstream of one secret.
type fixed struct{ secret.Secret }

func (f *fixed) Read(context.Context, string, secret.Version) (*secret.Secret, error) {
	s := f.Secret
	s.Value = s.Value.Clone()
	return &s, nil
}

func (*fixed) Close() error { return nil }

// A large answer holds memory that all of them share, and gives it back.
func TestAWSAnswersAreGivenBack(t *testing.T) {
	_, get := awsOver(t, &fixed{secret.Secret{Value: secret.NewValue(bytes.Repeat([]byte("a"), secret.MaxValueBytes)), Version: "1", CreatedAt: time.Unix(1, 0)}})
	for n := range 100 {
		if resp, body := get("/secretsmanager/get?secretId=web/production/KEY"); resp.StatusCode != 200 {
			t.Fatalf("after %d: got %d %s", n, resp.StatusCode, body)
		}
	}
}

// What the upstream does not tell is left out.
func TestAWSSecretsOfFewFacts(t *testing.T) {
	for version, want := range map[secret.Version]string{"7": `,"Version":7}`, "0": `"v"}`, "v7": `"v"}`} {
		_, get := awsOver(t, &fixed{secret.Secret{Value: secret.NewValue([]byte("v")), Version: version}})
		if _, body := get("/systemsmanager/parameters/get?name=/web/production/KEY"); !strings.Contains(body, want) || strings.Contains(body, "Date") {
			t.Errorf("version %s: got %s, want %s", version, body, want)
		}
		if _, body := get("/secretsmanager/get?secretId=web/production/KEY"); !strings.HasSuffix(body, `"VersionStages":["AWSCURRENT"]}`) {
			t.Errorf("version %s: got %s", version, body)
		}
	}
}

// A read through the dialect leaves the same record as any other, under its own surface; so does a refusal.
func TestAWSRecords(t *testing.T) {
	s, get := awsOver(t, &counting{})
	for _, uri := range []string{"/secretsmanager/get?secretId=web/production/KEY", "/secretsmanager/get?secretId=web/production/MASTER_KEY"} {
		resp, body := get(uri)
		log, err := os.ReadFile(filepath.Join(s.Dir, "audit", "audit.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		id := resp.Header.Get("X-Keyhole-Decision")
		_, record, found := strings.Cut(string(log), `"id":"`+id+`"`)
		record, _, _ = strings.Cut(record, "\n")
		if !found || id == "" || !strings.Contains(record, `"via":{"surface":"aws","source_ip":"127.0.0.1"`) ||
			!strings.Contains(record, strings.TrimPrefix(uri, "/secretsmanager/get?secretId=")) {
			t.Errorf("%s: answered %d %s, recorded as %q", uri, resp.StatusCode, body, record)
		}
	}
}

// Every error of the API has an answer that clients of AWS can read: a JSON error with a type, or a plain text where the
// request was malformed. No error is taken for a success, and none tells more than the native API does.
func TestAWSErrors(t *testing.T) {
	for _, row := range []struct {
		err    error
		status string
		body   string
	}{
		{secret.ErrNotFound, "400", `{"__type":"ResourceNotFoundException","message":"no such secret or version"}`},
		{secret.ErrUnavailable, "502", `{"__type":"ConnectionError","message":"the upstream failed and no cached value is within its bound"}`},
		{secret.ErrTimeout, "504", `{"__type":"TimeoutError","message":"the upstream did not answer in time"}`},
		{secret.ErrUnsupported, "502", `{"__type":"ConnectionError","message":"the upstream failed and no cached value is within its bound"}`},
	} {
		u := &counting{}
		u.fails.Store(&row.err)
		_, get := awsOver(t, u)
		resp, body := get("/secretsmanager/get?secretId=web/production/KEY")
		if got := strconv.Itoa(resp.StatusCode); got != row.status || strings.TrimSpace(body) != row.body {
			t.Errorf("%v: got %s %s, want %s %s", row.err, got, body, row.status, row.body)
		}
	}
}

// The dialect's part of the table of errors has every code that a read can end with.
func TestAWSErrorTable(t *testing.T) {
	for code, want := range map[api.Code]struct {
		status int
		body   string
	}{
		api.NotReady:         {400, "not ready to serve traffic, please wait"},
		api.Overloaded:       {503, `{"__type":"ServiceUnavailable","message":"m"}`},
		api.AuditUnavailable: {503, `{"__type":"ServiceUnavailable","message":"m"}`},
		api.StateUnavailable: {503, `{"__type":"ServiceUnavailable","message":"m"}`},
		api.TokenExpired:     {401, `{"__type":"ExpiredTokenException","message":"m"}`},
		api.TokenRevoked:     {401, `{"__type":"UnrecognizedClientException","message":"m"}`},
		api.UnknownKey:       {401, `{"__type":"UnrecognizedClientException","message":"m"}`},
		api.Revoked:          {400, `{"__type":"AccessDeniedException","message":"m"}`},
		api.ApprovalRequired: {400, `{"__type":"AccessDeniedException","message":"m"}`},
		api.RateLimited:      {429, `{"__type":"ThrottlingException","message":"m"}`},
		api.Internal:         {500, `{"__type":"InternalFailure"}`},
		api.Code("new"):      {500, `{"__type":"InternalFailure"}`},
	} {
		status, body := httpapi.AWSError(code, "m")
		if status != want.status || strings.TrimSpace(body) != want.body {
			t.Errorf("%s: got %d %s, want %d %s", code, status, body, want.status, want.body)
		}
	}
}

// No name makes a path that its own ARN, or the name that is answered, does not lead back to.
func FuzzAWSNames(f *testing.F) {
	for _, s := range []string{
		"a", "a/b", "/a/b", "a/b:3", "arn:aws:secretsmanager:r:1:secret:a-AbCdEf", "arn:aws:ssm:r:1:parameter/a/b:3", "arn:keyhole:ssm:r::parameter/a",
		"/aws/reference/secretsmanager/a", "/aws/reference/secretsmanager/arn:aws:secretsmanager:r:1:secret:a-AbCdEf:AWSPREVIOUS", "arn:", ":", "/", "-abcdef",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if path, arn, ok := httpapi.SecretName(s); ok {
			if again, _, ok := httpapi.SecretName(arn); !ok || again != path {
				t.Errorf("%q is %q, and its ARN %q is %q", s, path, arn, again)
			}
			if text, err := json.Marshal(arn); err != nil || !json.Valid(text) {
				t.Errorf("%q: %v", arn, err)
			}
		}
		if path, arn, ok := httpapi.ParameterName(s); ok {
			if again, _, ok := httpapi.ParameterName(arn); !ok || again != path {
				t.Errorf("%q is %q, and its ARN %q is %q", s, path, arn, again)
			}
		}
	})
}
