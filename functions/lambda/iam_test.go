package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// believing is the document of a function that nobody may invoke but through its URL.
var believing = strings.Replace(document, `"identity": {`, `"identity": {"function_url_only": true, "trust": [{
	"name": "workers", "template": "aws-function-url",
	"with": {"account": "123456789012", "role": "worker", "role_id": "AROAEXAMPLEEXAMPLEEXA"},
	"map": {"base": "web", "scope": ["read:web/*"], "labels": {"team": "jobs"}}
}], `, 1)

// signed is the event of a Function URL whose caller AWS has named, with other headers and members of what AWS says.
func signed(t *testing.T, path string, headers, iam map[string]string) []byte {
	t.Helper()
	text, err := os.ReadFile("../internal/lambdahttp/testdata/events/function-url-iam.json")
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	e["rawPath"] = path
	rc := e["requestContext"].(map[string]any)
	rc["http"].(map[string]any)["path"] = path
	for k, v := range headers {
		e["headers"].(map[string]any)[k] = v
	}
	for k, v := range iam {
		rc["authorizer"].(map[string]any)["iam"].(map[string]any)[k] = v
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends an event and returns the answer.
func ask(t *testing.T, e *lambdaemu.Environment, event []byte) answered {
	t.Helper()
	out, err := e.Invoke(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	var a answered
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return a
}

type answered struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

func (a answered) is(status int, part string) bool {
	return a.StatusCode == status && strings.Contains(a.Body, part)
}

func TestIAMIdentity(t *testing.T) {
	f := newFunctionOf(t, believing)
	e := f.ready(t, lambdaemu.Config{})
	if a := ask(t, e, signed(t, "/v1/secrets/web/DB", nil, nil)); !a.is(200, `"value":"first"`) {
		t.Errorf("got %+v", a)
	}
	if a := ask(t, e, signed(t, "/api/runtime/secrets/DB", map[string]string{"authorization": "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLEEXAMPLEEX/20260810/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=00"}, nil)); !a.is(200, `"value":"first"`) {
		t.Errorf("by a name below the base: got %+v", a)
	}
	if a := ask(t, e, signed(t, "/v1/secrets/shared/KEY", nil, nil)); !a.is(403, `"scope_denied"`) {
		t.Errorf("outside its scope: got %+v", a)
	}
	if a := ask(t, e, signed(t, "/v1/whoami", nil, nil)); !a.is(200, `"subject":"arn:aws:sts::123456789012:assumed-role/worker"`) || !a.is(200, `"authenticated_by":"aws_iam"`) {
		t.Errorf("got %+v", a)
	}
	// The role was deleted, and somebody has made another of its name.
	again := map[string]string{"userId": "AROAANOTHERANOTHERANO:worker-function", "callerId": "AROAANOTHERANOTHERANO:worker-function"}
	if a := ask(t, e, signed(t, "/v1/secrets/web/DB", nil, again)); !a.is(401, `"unauthenticated"`) {
		t.Errorf("another role of that name: got %+v", a)
	}
	// Who shows a token is its holder, or nobody.
	if a := ask(t, e, signed(t, "/v1/secrets/web/DB", map[string]string{"authorization": "Bearer nonsense"}, nil)); !a.is(401, `"token_invalid"`) {
		t.Errorf("with a bad token: got %+v", a)
	}
	if a := ask(t, e, signed(t, "/v1/secrets/shared/KEY", map[string]string{"authorization": "Bearer " + f.token}, nil)); !a.is(200, `"value":"of all"`) {
		t.Errorf("with a good token: got %+v", a)
	}
	if code := e.Shutdown(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(filepath.Join(f.dir, "audit", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"principal":{"trust":"workers","iss":"aws:function-url","sub":"arn:aws:sts::123456789012:assumed-role/worker","token_id":"ASIAEXAMPLEEXAMPLEEX"}`,
		`"action":"authenticate"`,
	} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the audit log does not have %s\n%s", want, log)
		}
	}
}

// Revoking the rule, the role or the session ends all three; lifting it brings them back.
func TestIAMRevocation(t *testing.T) {
	f := newFunctionOf(t, believing)
	f.scope(t, "revoke:**")
	e := f.ready(t, lambdaemu.Config{})
	for revocation, want := range map[string]string{
		`{"trust":"workers","reason":"test"}`:                                         `"revoked"`,
		`{"subject":"arn:aws:sts::123456789012:assumed-role/worker","reason":"test"}`: `"revoked"`,
		`{"token_id":"ASIAEXAMPLEEXAMPLEEX","reason":"test"}`:                         `"token_revoked"`,
	} {
		a := ask(t, e, f.request("POST", "/v1/revocations", revocation))
		var made struct{ Data struct{ ID string } }
		if err := json.Unmarshal([]byte(a.Body), &made); err != nil || a.StatusCode != 201 {
			t.Fatalf("%s: got %+v", revocation, a)
		}
		if a := ask(t, e, signed(t, "/v1/secrets/web/DB", nil, nil)); a.StatusCode/100 != 4 || !strings.Contains(a.Body, want) {
			t.Errorf("after %s: got %+v", revocation, a)
		}
		if a := ask(t, e, f.request("DELETE", "/v1/revocations/"+made.Data.ID, "")); a.StatusCode != 200 {
			t.Fatalf("got %+v", a)
		}
		if a := ask(t, e, signed(t, "/v1/secrets/web/DB", nil, nil)); !a.is(200, `first`) {
			t.Errorf("after %s was lifted: got %+v", revocation, a)
		}
	}
}

// Without the word that nobody may invoke it directly, whom an event names is nobody.
func TestIAMIdentityIsOffByDefault(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{})
	if a := ask(t, e, signed(t, "/v1/secrets/web/DB", nil, nil)); !a.is(401, `"unauthenticated"`) {
		t.Errorf("got %+v", a)
	}
	if code := e.Shutdown(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(filepath.Join(f.dir, "audit", "audit.jsonl"))
	if err != nil || strings.Contains(string(log), "ASIAEXAMPLE") {
		t.Errorf("the audit log repeats what anybody may have written: %v", err)
	}
}
