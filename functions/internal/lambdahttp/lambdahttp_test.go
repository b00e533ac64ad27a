package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/functions/internal/lambdahttp"
)

// unused fails where an event comes to what it is not for.
func unused(t *testing.T) lambdahttp.Config {
	t.Helper()
	return lambdahttp.Config{
		API: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the API was asked for %s", r.URL) }),
		Changed: func(_ context.Context, c lambdahttp.Change) (int, error) {
			t.Errorf("invalidated %q", c.Objects)
			return 0, nil
		},
		Ready: func() error { t.Error("asked whether it is ready"); return nil },
	}
}

func invoke(t *testing.T, c lambdahttp.Config, payload []byte) ([]byte, error) {
	t.Helper()
	h, err := lambdahttp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h.Invoke(t.Context(), payload)
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is found out beside the start stands before everything else.
func TestWhatDidNotSettleIsNotServed(t *testing.T) {
	unusable := errors.New("unusable")
	c := unused(t)
	c.Settled = func() error { return unusable }
	payload := fixture(t, "events/function-url-iam.json")
	if out, err := invoke(t, c, payload); !errors.Is(err, unusable) || out != nil {
		t.Errorf("got %s, %v", out, err)
	}
	if len(bytes.Trim(payload, "\x00")) > 0 {
		t.Error("the payload is not wiped")
	}
}

// seen is what an API is told of a request.
type seen struct {
	Method, URI, Path, RawPath, Query, Host, Remote, Body string
	Length                                                int64
	Headers                                               http.Header
}

func see(t *testing.T, name string, header http.Header) (seen, map[string]any) {
	t.Helper()
	var got seen
	c := unused(t)
	c.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Host, r.RemoteAddr, string(body), r.ContentLength, r.Header.Clone()}
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("{\"a\":\"\\n\"}"))
	})
	out, err := invoke(t, c, fixture(t, name))
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got, answer
}

func TestFunctionURL(t *testing.T) {
	got, answer := see(t, "events/function-url.json", http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-List": {"a", "b"}, "Connection": {"close"}})
	if got.Method != "POST" || got.Path != "/v1/secrets/web/production/DB:versions" || got.RawPath != "/v1/secrets/web%2Fproduction/DB%3Aversions" ||
		got.Query != "limit=%2B5&page=a&page=b" || got.Host != "abcdefghijklmnop.lambda-url.eu-west-1.on.aws" ||
		got.Remote != "203.0.113.7:0" || got.Body != `{"value":"é"}` || got.Length != 14 || got.URI != "/v1/secrets/web%2Fproduction/DB%3Aversions?limit=%2B5&page=a&page=b" {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string][]string{
		"Authorization": {"Bearer one", "Bearer two"}, "Cookie": {"session=1; theme=dark"}, "X-List": {"a,b"},
		"X-Forwarded-For": nil, "Host": nil, "X-Forwarded-Proto": {"https"},
	} {
		if !slices.Equal(got.Headers[name], want) {
			t.Errorf("header %s: got %q, want %q", name, got.Headers[name], want)
		}
	}
	want(t, answer, `{"statusCode":201,"headers":{"X-List":"a, b"},"cookies":["a=1","b=2"],"body":"{\"a\":\"\\n\"}","isBase64Encoded":false}`)
}

func TestAPIGateway(t *testing.T) {
	got, answer := see(t, "events/apigateway-v2.json", nil)
	// The client sent %253A: what is left of it is no escape.
	if got.Path != "/v1/secrets/web/production/DB%3Aversions" || got.RawPath != "" || got.Remote != "[2001:db8::7]:0" || got.Body != "\x00\xff\x00\xff" || got.Length != 4 {
		t.Errorf("got %+v", got)
	}
	want(t, answer, `{"statusCode":201,"headers":{},"body":"{\"a\":\"\\n\"}","isBase64Encoded":false}`)
}

func TestLoadBalancer(t *testing.T) {
	got, answer := see(t, "events/alb.json", http.Header{"X-List": {"a", "b"}})
	if got.Path != "/v1/secrets/web/production/DB" || got.RawPath != "/v1/secrets/web%2Fproduction/DB" || got.Query != "version=a%20b" || got.Remote != "" ||
		got.Headers.Get("X-Forwarded-For") != "" || got.Length != 0 || got.Host != "keyhole-1234567890.eu-west-1.elb.amazonaws.com" {
		t.Errorf("got %+v", got)
	}
	want(t, answer, `{"statusCode":201,"statusDescription":"201 Created","headers":{"X-List":"a, b"},"body":"{\"a\":\"\\n\"}","isBase64Encoded":false}`)
}

func TestLoadBalancerWithMultiValueHeaders(t *testing.T) {
	got, answer := see(t, "events/alb-multi.json", http.Header{"Set-Cookie": {"a=1", "b=2"}})
	if got.Query != "prefix=web&prefix=env&limit=%2B5" || got.Remote != "" || !slices.Equal(got.Headers["Authorization"], []string{"Bearer one", "Bearer two"}) || !slices.Equal(got.Headers["X-List"], []string{"a", "b"}) {
		t.Errorf("got %+v", got)
	}
	// A HEAD has no body.
	want(t, answer, `{"statusCode":201,"statusDescription":"201 Created","multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"","isBase64Encoded":false}`)
}

// What members are missing, null or doubled, and where a path begins.
func TestShapes(t *testing.T) {
	url := func(path, stage string) string {
		return `"version":"2.0","rawPath":"` + path + `","requestContext":{"apiId":"abc","domainName":"abc.lambda-url.eu-west-1.on.aws","stage":"` + stage + `","http":{"method":"GET"}}`
	}
	api := func(path, stage string) string {
		return `"version":"2.0","rawPath":"` + path + `","requestContext":{"apiId":"abc","domainName":"abc.execute-api.eu-west-1.amazonaws.com","stage":"` + stage + `","http":{"method":"GET"}}`
	}
	const balancer = `"requestContext":{"elb":{}},"httpMethod":"GET","path":"/a"`
	for event, want := range map[string]seen{
		url("/a%2Fb", "$default") + `,"headers":null,"cookies":null,"body":null,"queryStringParameters":null`: {Path: "/a/b", RawPath: "/a%2Fb"},
		url("", "$default"):            {Path: "/"},
		url("/prod/a", "prod"):         {Path: "/prod/a"}, // a Function URL has no stages
		api("/a%2Fb", "$default"):      {Path: "/a%2Fb"},
		api("/a", ""):                  {Path: "/a"},
		api("/$default/a", "$default"): {Path: "/$default/a"},
		api("/prod", "prod"):           {Path: "/"},
		api("/prod/", "prod"):          {Path: "/"},
		api("/prod/prod/a", "prod"):    {Path: "/prod/a"},
		api("/production/a", "prod"):   {Path: "/production/a"},
		// A domain of the account's own may be called anything.
		`"version":"2.0","rawPath":"/a%2Fb","requestContext":{"apiId":"abc","domainName":"my.lambda-url.example.com","stage":"$default","http":{"method":"GET"}}`:                     {Path: "/a%2Fb"},
		url("/", "$default") + `,"headers":{"x-a":"1","X-A":"2","forwarded":"for=1.2.3.4","X-Forwarded-For":"1.2.3.4","transfer-encoding":"chunked","connection":"close","host":"h"}`: {Path: "/", Host: "h", Headers: http.Header{"X-A": {"1", "2"}}},
		balancer + `,"headers":{"a":"1"},"multiValueHeaders":null,"queryStringParameters":{"a":"%2B","b":""},"multiValueQueryStringParameters":null`:                                  {Path: "/a", Query: "a=%2B&b=", Headers: http.Header{"A": {"1"}}},
		balancer + `,"multiValueHeaders":{"a":["1","2"],"b":null},"multiValueQueryStringParameters":{"q":["1","2"],"r":[]}`:                                                           {Path: "/a", Query: "q=1&q=2", Headers: http.Header{"A": {"1", "2"}, "B": nil}},
	} {
		t.Run(event, func(t *testing.T) {
			c := unused(t)
			c.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got := seen{Path: r.URL.Path, RawPath: r.URL.RawPath, Query: r.URL.RawQuery, Host: r.Host, Headers: r.Header}
				if want.Headers == nil {
					want.Headers = http.Header{}
				}
				if !reflect.DeepEqual(got, want) || r.Method != "GET" || r.ContentLength != 0 || r.ProtoMajor != 1 {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
			if _, err := invoke(t, c, []byte("{"+event+"}")); err != nil {
				t.Error(err)
			}
		})
	}
}

func want(t *testing.T, got map[string]any, text string) {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	g, _ := json.Marshal(got)
	if have, _ := json.Marshal(w); string(g) != string(have) {
		t.Errorf("answer:\ngot  %s\nwant %s", g, have)
	}
}

func TestSignals(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/web/DB"
	for _, row := range []struct {
		file, source, kind string
		objects            []string
	}{
		{"secretsmanager-label", "aws.secretsmanager", "secretsmanager", []string{"apps/web/DB", arn + "-a1b2c3", "apps/web/DB-a1b2c3", arn}},
		{"secretsmanager-put", "aws.secretsmanager", "secretsmanager", []string{"apps/web/DB", arn + "-a1b2c3", "apps/web/DB-a1b2c3", arn}},
		{"secretsmanager-rotation", "aws.secretsmanager", "secretsmanager", []string{arn + "-a1b2c3", "apps/web/DB-a1b2c3", "apps/web/DB", arn}},
		{"secretsmanager-started", "", "", nil},
		{"parameter-store", "aws.ssm", "parameterstore", []string{"apps/web/DB", "arn:aws:ssm:eu-west-1:123456789012:parameter/apps/web/DB"}},
	} {
		t.Run(row.file, func(t *testing.T) {
			var got lambdahttp.Change
			c := unused(t)
			c.Changed = func(_ context.Context, change lambdahttp.Change) (int, error) {
				got = change
				return 2, nil
			}
			out, err := invoke(t, c, fixture(t, "events/"+row.file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			wantOut := `{"invalidated":2}`
			if row.objects == nil {
				wantOut = `{"invalidated":0}`
			}
			if string(out) != wantOut || got.Source != row.source || got.Type != row.kind || !slices.Equal(got.Objects, row.objects) || row.objects != nil && len(got.ID) != 36 {
				t.Errorf("got %s and %+v", out, got)
			}
		})
	}
	for _, row := range []struct {
		event   string
		objects []string
	}{
		{`"CreateSecret","requestParameters":{"name":"a"},"responseElements":null`, []string{"a"}},
		{`"CreateSecret","requestParameters":null,"responseElements":{"ARN":"` + arn + `-a1b2c3"}`, []string{arn + "-a1b2c3", "apps/web/DB-a1b2c3", "apps/web/DB", arn}},
		{`"DeleteResourcePolicy","responseElements":{"name":"a"}`, []string{"a"}},
		{`"DeleteSecret","requestParameters":{"secretId":"a"}`, []string{"a"}},
		{`"PutResourcePolicy","responseElements":{"aRN":"` + arn + `-a1b2c3","name":"apps/web/DB"}`, []string{arn + "-a1b2c3", "apps/web/DB-a1b2c3", "apps/web/DB", arn}},
		{`"PutSecretValue","requestParameters":{"secretId":"a-bcdefg"}`, []string{"a-bcdefg"}}, // a name, and no ARN
		{`"PutSecretValue","requestParameters":{"secretId":"a:secret:bcdefghij"}`, []string{"a:secret:bcdefghij", "bcdefghij"}},
		{`"PutSecretValue","requestParameters":{"secretId":"a"},"errorCode":"AccessDenied"`, nil},
		{`"PutSecretValue","requestParameters":{"secretId":"a"},"errorCode":null`, []string{"a"}},
		{`"RestoreSecret","requestParameters":{"secretId":"a"}`, []string{"a"}},
		{`"RotateSecret","requestParameters":{"secretId":"a"}`, []string{"a"}},
		{`"RotationSucceeded","additionalEventData":{"secretId":"a"}`, []string{"a"}},
		{`"UpdateSecret","requestParameters":{"secretId":"a"}`, []string{"a"}},
		{`"UpdateSecretVersionStage","requestParameters":{"secretId":"a"}`, []string{"a"}},
		{`"GetSecretValue","requestParameters":{"secretId":"a"}`, nil},
		{`"TagResource","requestParameters":{"secretId":"a"}`, nil},
	} {
		var got []string
		c := unused(t)
		c.Changed = func(_ context.Context, change lambdahttp.Change) (int, error) {
			got = change.Objects
			return 1, nil
		}
		payload := `{"source":"aws.secretsmanager","detail-type":"AWS API Call via CloudTrail","detail":{"eventName":` + row.event + `}}`
		if _, err := invoke(t, c, []byte(payload)); err != nil || !slices.Equal(got, row.objects) {
			t.Errorf("%s: got %q, %v", row.event, got, err)
		}
	}
	t.Run("too many", func(t *testing.T) {
		for n, refused := range map[int]bool{16: false, 17: true} {
			c := unused(t)
			c.Changed = func(_ context.Context, change lambdahttp.Change) (int, error) { return len(change.Objects), nil }
			resources := make([]string, n)
			for i := range resources {
				resources[i] = strconv.Itoa(i)
			}
			payload, err := json.Marshal(map[string]any{"source": "aws.ssm", "detail-type": "Parameter Store Change", "detail": map[string]any{}, "resources": resources})
			if err != nil {
				t.Fatal(err)
			}
			if out, err := invoke(t, c, payload); errors.Is(err, lambdahttp.ErrUnknownEvent) != refused {
				t.Errorf("%d resources: got %s, %v", n, out, err)
			}
		}
	})
	t.Run("failure", func(t *testing.T) {
		c := unused(t)
		broken := errors.New("broken")
		c.Changed = func(context.Context, lambdahttp.Change) (int, error) { return 0, broken }
		if _, err := invoke(t, c, fixture(t, "events/parameter-store.json")); !errors.Is(err, broken) {
			t.Errorf("got %v: EventBridge would not send it again", err)
		}
	})
}

func TestTick(t *testing.T) {
	c := unused(t)
	c.Ready = func() error { return nil }
	const scheduler = `{"version":"0","id":"d4b9a2a9","detail-type":"Scheduled Event","source":"aws.scheduler","detail":"{}"}`
	if out, err := invoke(t, c, []byte(scheduler)); err != nil || string(out) != `{"ready":true}` {
		t.Errorf("of EventBridge Scheduler: got %s, %v", out, err)
	}
	if out, err := invoke(t, c, fixture(t, "events/schedule.json")); err != nil || string(out) != `{"ready":true}` {
		t.Errorf("got %s, %v", out, err)
	}
	c.Ready = func() error { return errors.New("blind") }
	if _, err := invoke(t, c, fixture(t, "events/schedule.json")); err == nil {
		t.Error("it says that it is ready")
	}
}

func TestUnknownEventsAreRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, err := invoke(t, unused(t), payload)
			if !errors.Is(err, lambdahttp.ErrUnknownEvent) {
				t.Errorf("got %s, %v", out, err)
			}
			if strings.Trim(string(payload), "\x00") != "" {
				t.Error("the payload is still there")
			}
		})
	}
}

// The request ends before the invocation does, so that there is time for an answer.
func TestDeadline(t *testing.T) {
	end := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	c := unused(t)
	c.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got, ok := r.Context().Deadline(); !ok || end.Sub(got) != 200*time.Millisecond {
			t.Errorf("the request ends %v before the invocation, want 200 ms", end.Sub(got))
		}
	})
	h, err := lambdahttp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(ctx, fixture(t, "events/alb.json")); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersOfAnyBytes(t *testing.T) {
	const url, balancer = "function-url", "alb"
	for name, row := range map[string]struct {
		source, body string
		status       float64
		base64       bool
		most         int
	}{
		"text":                           {url, "plain", 200, false, 6 << 20},
		"not UTF-8":                      {url, "\xff", 200, true, 6 << 20},
		"shorter as base64":              {url, strings.Repeat("\x01", 2<<20), 200, true, 6 << 20},
		"the largest":                    {url, strings.Repeat("a", 6<<20-64<<10-2), 200, false, 6 << 20},
		"larger with its headers":        {url, strings.Repeat("a", 6<<20-5_000), 413, false, 6 << 20},
		"larger than Lambda's answer":    {url, strings.Repeat("\x01", 5<<20), 413, false, 6 << 20},
		"a balancer's text":              {balancer, strings.Repeat("a", 900_000), 200, false, 1_000_000},
		"a balancer's base64":            {balancer, strings.Repeat("\x01", 500_000), 200, true, 1_000_000},
		"larger than a balancer's":       {"alb-multi-get", strings.Repeat("a", 1_000_000), 413, false, 1_000_000},
		"larger than one's without many": {balancer, strings.Repeat("a", 1_000_000), 413, false, 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := unused(t)
			c.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Long", strings.Repeat("a", 10_000))
				for part := range slices.Chunk([]byte(row.body), 1<<20) {
					_, _ = w.Write(part)
				}
				w.Header().Set("X-Late", "a")
			})
			payload := []byte(`{"requestContext":{"elb":{}},"httpMethod":"GET","path":"/","multiValueHeaders":{}}`)
			if row.source != "alb-multi-get" {
				payload = fixture(t, "events/"+row.source+".json")
			}
			out, err := invoke(t, c, payload)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > row.most {
				t.Errorf("%d bytes, at most %d are taken", len(out), row.most)
			}
			var got struct {
				StatusCode        float64
				Headers           map[string]string
				MultiValueHeaders map[string][]string
				Body              string
				IsBase64Encoded   bool
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			body := []byte(got.Body)
			if got.IsBase64Encoded {
				if body, err = base64.StdEncoding.DecodeString(got.Body); err != nil {
					t.Fatal(err)
				}
			}
			if got.StatusCode != row.status || got.IsBase64Encoded != row.base64 || row.status == 200 && string(body) != row.body {
				t.Errorf("got status %v, base64 %v, %d bytes", got.StatusCode, got.IsBase64Encoded, len(body))
			}
			if _, late := got.Headers["X-Late"]; late || got.MultiValueHeaders["X-Late"] != nil {
				t.Error("a header that was set after the status is there")
			}
			if row.status == 413 && (!strings.Contains(got.Body, `"code":"too_large"`) || !strings.Contains(string(out), "private, no-store")) {
				t.Errorf("got %.300s", out)
			}
		})
	}
}

// An informational answer is none: the one that follows counts.
func TestInformationalAnswers(t *testing.T) {
	c := unused(t)
	c.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNotFound)
		w.WriteHeader(http.StatusOK)
	})
	if out, err := invoke(t, c, fixture(t, "events/alb.json")); err != nil || !strings.Contains(string(out), `"statusCode":404`) {
		t.Errorf("got %s, %v", out, err)
	}
}

// keeping keeps what it is given, and not a copy.
type keeping struct{ got []byte }

func (k *keeping) Write(b []byte) (int, error) {
	k.got = b
	return len(b), nil
}

// Nothing of a request or an answer is left in memory when the answer is on its way, nor of one that outgrew its place.
func TestWhatWasServedIsWiped(t *testing.T) {
	var body keeping
	var held []byte
	c := unused(t)
	c.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&body, r.Body)
		_, _ = w.Write([]byte("a secret"))
		held = lambdahttp.Held(w.(*lambdahttp.Answer))
	})
	if _, err := invoke(t, c, fixture(t, "events/function-url.json")); err != nil {
		t.Fatal(err)
	}
	w := lambdahttp.NewAnswer()
	_, _ = w.Write([]byte("a secret"))
	small := lambdahttp.Held(w)
	_, _ = w.Write(make([]byte, 10*cap(small)))
	large := lambdahttp.Held(w)
	lambdahttp.Wipe(w)
	for name, b := range map[string][]byte{"the body": body.got, "the answer": held, "what it outgrew": small, "an answer that ended": large} {
		if len(b) == 0 || strings.Trim(string(b), "\x00") != "" {
			t.Errorf("%s is still there: %q", name, b)
		}
	}
}

func TestWhatIsNoRequest(t *testing.T) {
	event := func(path, headers, body string) []byte {
		return []byte(`{"requestContext":{"elb":{}},"httpMethod":"PUT","path":"` + path + `","headers":{` + headers + `},"body":"` + body + `","isBase64Encoded":true}`)
	}
	for name, row := range map[string]struct {
		payload []byte
		status  string
	}{
		"escape":  {event("/v1/secrets/%zz", "", ""), `"statusCode":400`},
		"headers": {event("/", `"x":"`+strings.Repeat("a", 16<<10)+`"`, ""), `"statusCode":431`},
		"names":   {event("/", `"`+strings.Repeat("a", 16<<10)+`":"x"`, ""), `"statusCode":431`},
	} {
		out, err := invoke(t, unused(t), row.payload)
		if err != nil || !strings.Contains(string(out), row.status) {
			t.Errorf("%s: got %s, %v", name, out, err)
		}
		for _, header := range []string{`"Cache-Control":"private, no-store"`, `"Content-Type":"application/json"`, `"X-Content-Type-Options":"nosniff"`} {
			if !strings.Contains(string(out), header) {
				t.Errorf("%s: got %s, want %s as in every answer", name, out, header)
			}
		}
	}
	c := unused(t)
	c.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil || r.ContentLength == 0 {
			t.Errorf("a body that is not base64 was read to its end, length %d", r.ContentLength)
		}
	})
	for _, body := range []string{"AA=A", "AAB=", "AAA", "-_A="} {
		if _, err := invoke(t, c, event("/", "", body)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzInvoke(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.json")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	h, err := lambdahttp.New(lambdahttp.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
			_, _ = io.WriteString(w, r.URL.String()+r.RequestURI+r.RemoteAddr)
		}),
		Changed: func(context.Context, lambdahttp.Change) (int, error) { return 0, nil },
		Ready:   func() error { return nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := h.Invoke(t.Context(), bytes.Clone(payload)) // which it wipes, and the engine goes on from
		if (err == nil) != json.Valid(out) {
			t.Errorf("got %q, %v", out, err)
		}
	})
}
