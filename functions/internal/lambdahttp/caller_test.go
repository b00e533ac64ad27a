package lambdahttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/keyhole-edge/keyhole/functions/internal/lambdahttp"
)

type callerKey struct{}

// calledBy says who the API is told has called, and which Authorization headers are left to it.
func calledBy(t *testing.T, event []byte, believe bool) (caller lambdahttp.Caller, told bool, shown []string) {
	t.Helper()
	c := unused(t)
	c.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caller, told = r.Context().Value(callerKey{}).(lambdahttp.Caller)
		shown = r.Header["Authorization"]
		if told && r.Header["X-Amz-Security-Token"] != nil {
			t.Error("the session token of the caller is passed on")
		}
	})
	if believe {
		c.CalledBy = func(ctx context.Context, who lambdahttp.Caller) context.Context {
			return context.WithValue(ctx, callerKey{}, who)
		}
	}
	if _, err := invoke(t, c, bytes.Clone(event)); err != nil {
		t.Fatal(err)
	}
	return caller, told, shown
}

// edited is the event of a Function URL of AuthType AWS_IAM after a change.
func edited(t *testing.T, change func(event, requestContext map[string]any)) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(fixture(t, "events/function-url-iam.json"), &e); err != nil {
		t.Fatal(err)
	}
	change(e, e["requestContext"].(map[string]any))
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCaller(t *testing.T) {
	want := lambdahttp.Caller{
		Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/worker/worker-function",
		UserID: "AROAEXAMPLEEXAMPLEEXA:worker-function", AccessKey: "ASIAEXAMPLEEXAMPLEEX",
	}
	if got, told, _ := calledBy(t, fixture(t, "events/function-url-iam.json"), true); !told || got != want {
		t.Errorf("got %+v, %v", got, told)
	}
	if got, told, _ := calledBy(t, fixture(t, "events/function-url-iam.json"), false); told {
		t.Errorf("without being asked to believe it: got %+v", got)
	}
	const signature = "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLEEXAMPLEEX/20260810/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab12"
	signed := edited(t, func(e, _ map[string]any) { e["headers"].(map[string]any)["authorization"] = signature })
	if got, told, shown := calledBy(t, signed, true); !told || got != want || shown != nil {
		t.Errorf("got %+v, %v, %q", got, told, shown)
	}
	// It is one header, and no token.
	if _, told, shown := calledBy(t, signed, false); told || len(shown) != 1 || shown[0] != signature {
		t.Errorf("got %v, %q", told, shown)
	}
}

// Nobody has called where the event is none of a Function URL, where it does not say so in its place, or where a token is
// shown, good or bad.
func TestNoCaller(t *testing.T) {
	authorized := func(value any) func(e, rc map[string]any) {
		return func(e, _ map[string]any) { e["headers"].(map[string]any)["authorization"] = value }
	}
	named := func(name string) func(e, rc map[string]any) {
		return func(_, rc map[string]any) { rc["domainName"] = name }
	}
	for name, change := range map[string]func(e, rc map[string]any){
		"a token":                     authorized("Bearer abc"),
		"an empty token":              authorized("Bearer "),
		"an empty header":             authorized(""),
		"another scheme":              authorized("Basic YTpi"),
		"a token behind another":      authorized("Bearer a,AWS4-HMAC-SHA256 x"),
		"two tokens":                  authorized([]any{"AWS4-HMAC-SHA256 x", "Bearer a"}),
		"an HTTP API":                 named("abcdefghijklmnop.execute-api.eu-west-1.amazonaws.com"),
		"a domain of somebody's":      named("abcdefghijklmnop.lambda-url.eu-west-1.on.aws.example.com"),
		"another domain of somebody":  named("abcdefghijklmnop.lambda-url.evil.example"),
		"no region":                   named("abcdefghijklmnop.lambda-url..on.aws"),
		"a region of two":             named("abcdefghijklmnop.lambda-url.a.b.on.aws"),
		"the URL of another function": named("ponmlkjihgfedcba.lambda-url.eu-west-1.on.aws"),
		"no name":                     func(_, rc map[string]any) { delete(rc, "domainName") },
		"no id":                       func(_, rc map[string]any) { delete(rc, "apiId"); rc["domainName"] = ".lambda-url.eu-west-1.on.aws" },
		"a load balancer": func(e, rc map[string]any) {
			rc["elb"] = map[string]any{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/k/1"}
			e["httpMethod"], e["path"] = "GET", "/"
		},
		"AuthType NONE": func(_, rc map[string]any) { delete(rc, "authorizer") },
		"a null":        func(_, rc map[string]any) { rc["authorizer"] = map[string]any{"iam": nil} },
		"another's claim": func(_, rc map[string]any) {
			rc["authorizer"] = map[string]any{"jwt": map[string]any{"iam": map[string]any{}}}
		},
		"in the event itself": func(e, rc map[string]any) {
			e["authorizer"] = rc["authorizer"]
			delete(rc, "authorizer")
		},
		"in the body, headers and query": func(e, rc map[string]any) {
			text, _ := json.Marshal(map[string]any{"requestContext": rc})
			e["body"], e["rawQueryString"] = string(text), "requestContext.authorizer.iam.accountId=123456789012"
			e["headers"].(map[string]any)["requestcontext"] = string(text)
			e["headers"].(map[string]any)["x-amzn-request-context"] = string(text)
			delete(rc, "authorizer")
		},
	} {
		if got, told, _ := calledBy(t, edited(t, change), true); told {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// What is no text is nothing.
func TestCallerOfOtherTypes(t *testing.T) {
	event := edited(t, func(_, rc map[string]any) {
		rc["authorizer"] = map[string]any{"iam": map[string]any{"accountId": 123456789012, "userArn": []any{"arn"}, "userId": map[string]any{}, "accessKey": true}}
	})
	if got, told, _ := calledBy(t, event, true); !told || got != (lambdahttp.Caller{}) {
		t.Errorf("got %+v, %v", got, told)
	}
}
