package lambdahttp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/functions/internal/lambdahttp"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// source makes events as one of AWS's services does, and takes its answers.
type source struct {
	handler *lambdahttp.Handler
	event   func(*http.Request, []byte) map[string]any
}

// RoundTrip implements http.RoundTripper.
func (s source) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	payload, err := json.Marshal(s.event(r, body))
	if err != nil {
		return nil, err
	}
	out, err := s.handler.Invoke(r.Context(), payload)
	if err != nil {
		return nil, err
	}
	var a struct {
		StatusCode        int
		StatusDescription string
		Headers           map[string]string
		MultiValueHeaders map[string][]string
		Body              *string
		IsBase64Encoded   bool
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return nil, err
	}
	if a.Body == nil || a.IsBase64Encoded {
		return nil, errors.New("these answers are texts")
	}
	h := http.Header(a.MultiValueHeaders)
	if h == nil {
		h = http.Header{}
	}
	for name, value := range a.Headers {
		h.Set(name, value)
	}
	return &http.Response{StatusCode: a.StatusCode, Header: h, Body: io.NopCloser(strings.NewReader(*a.Body)), Request: r}, nil
}

func joined(h http.Header) map[string]string {
	all := map[string]string{}
	for name, values := range h {
		all[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return all
}

func version2(r *http.Request, body []byte, path, domain string) map[string]any {
	return map[string]any{
		"version": "2.0", "rawPath": path, "rawQueryString": r.URL.RawQuery, "headers": joined(r.Header),
		"requestContext": map[string]any{
			"apiId": "abcdefghij", "domainName": "abcdefghij." + domain, "stage": "$default",
			"http": map[string]any{"method": r.Method, "path": path, "sourceIp": "192.0.2.1"},
		},
		"body": string(body), "isBase64Encoded": false,
	}
}

func functionURL(r *http.Request, body []byte) map[string]any {
	return version2(r, body, r.URL.EscapedPath(), "lambda-url.eu-west-1.on.aws")
}

// gateway decodes the path. What the scripts say of an escape in front of it can then not be seen: "/v1%2Fsecrets/a" is
// what "/v1/secrets/a" is. Those few are sent as they stand.
func gateway(r *http.Request, body []byte) map[string]any {
	path := r.URL.Path
	if raw := r.URL.EscapedPath(); !strings.HasPrefix(raw, "/v1/secrets/") && !strings.HasPrefix(raw, "/api/runtime/secrets/") {
		path = raw
	}
	return version2(r, body, path, "execute-api.eu-west-1.amazonaws.com")
}

func balancer(r *http.Request, body []byte, multi bool) map[string]any {
	headers, many, query, manyQuery := map[string]string{}, map[string][]string{}, map[string]string{}, map[string][]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = values[len(values)-1]
		many[strings.ToLower(name)] = values
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			query[name] = value
			manyQuery[name] = append(manyQuery[name], value)
		}
	}
	e := map[string]any{
		"requestContext": map[string]any{"elb": map[string]any{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/keyhole/6d0ecf831eec9f09"}},
		"httpMethod":     r.Method, "path": r.URL.EscapedPath(), "body": string(body), "isBase64Encoded": false,
	}
	if multi {
		e["multiValueHeaders"], e["multiValueQueryStringParameters"] = many, manyQuery
	} else {
		e["headers"], e["queryStringParameters"] = headers, query
	}
	return e
}

func handler(t *testing.T, s *proxytest.Server) *lambdahttp.Handler {
	t.Helper()
	c := unused(t)
	c.API = s.App.Native
	h, err := lambdahttp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What the native API answers to a server's clients, it answers to those of each of Lambda's sources.
func TestScripts(t *testing.T) {
	for name, event := range map[string]func(*http.Request, []byte) map[string]any{
		"function-url": functionURL,
		"api-gateway":  gateway,
		"alb-multi":    func(r *http.Request, b []byte) map[string]any { return balancer(r, b, true) },
		"alb": func(r *http.Request, b []byte) map[string]any {
			// The last of several values is all that such a balancer passes: what the scripts say of several cannot be seen.
			return balancer(r, b, several(r))
		},
	} {
		if underRace && name != "function-url" {
			continue // the converters hold no state: one of them under the race detector is enough
		}
		t.Run(name, func(t *testing.T) {
			proxytest.RunScripts(t, "../../../proxy/httpapi/testdata/*.txt", func(t *testing.T) proxytest.Target {
				if strings.HasPrefix(name, "alb") && strings.HasSuffix(t.Name(), "/batch_large") {
					t.Skip("a load balancer takes answers of 1 MB")
				}
				s := proxytest.NewServer(t, proxytest.Options{})
				target := s.Target()
				target.Transport = source{handler(t, s), event}
				return target
			})
		})
	}
}

func several(r *http.Request) bool {
	for _, values := range r.Header {
		if len(values) > 1 {
			return true
		}
	}
	q, _ := url.ParseQuery(r.URL.RawQuery)
	for _, values := range q {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// Nobody is who Lambda says that they are: AWS's own signature is no token here.
func TestIdentityOfIAMIsNotBelieved(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	var e map[string]any
	if err := json.Unmarshal(bytes.ReplaceAll(fixture(t, "events/function-url.json"), []byte("Bearer one,Bearer two"), []byte("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")), &e); err != nil {
		t.Fatal(err)
	}
	e["rawPath"], e["rawQueryString"], e["body"] = "/v1/whoami", "", ""
	e["requestContext"].(map[string]any)["http"].(map[string]any)["method"] = "GET"
	payload, _ := json.Marshal(e)
	out, err := handler(t, s).Invoke(t.Context(), payload)
	if err != nil || !bytes.Contains(out, []byte(`"statusCode":401`)) {
		t.Errorf("got %s, %v", out, err)
	}
}

// One environment may have many invocations under way.
func TestConcurrentInvocations(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	target := s.Target()
	client := &http.Client{Transport: source{handler(t, s), functionURL}}
	token := target.Token(t, map[string]string{"scope": "write:web/preview/*"})
	reader := target.Token(t, map[string]string{"scope": "read:web/preview/*"})
	ask := func(method, path, token, body string) (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, target.URL+path, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		out, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(out), err
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			path, value := fmt.Sprintf("/v1/secrets/web/preview/S%d", i), fmt.Sprintf("value-%d", i)
			if status, out, err := ask("PUT", path, token, `{"value":"`+value+`"}`); err != nil || status != 201 {
				t.Errorf("PUT %s: got %d %s, %v", path, status, out, err)
			}
			for range 4 {
				if status, out, err := ask("GET", path, reader, ""); err != nil || status != 200 || !strings.Contains(out, `"value":"`+value+`"`) {
					t.Errorf("GET %s: got %d %s, %v", path, status, out, err)
				}
			}
		})
	}
	wg.Wait()
}
