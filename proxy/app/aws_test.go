package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const roles = "arn:aws:iam::" + awsemu.Account + ":role/"

// awsDocument has two teams with roles of their own on one upstream, one whose role cannot be assumed, an environment in one
// object, a shared parameter of another region, and secrets by ARNs: those below one, and one by its complete one.
const awsDocument = `version: 1
listen: {native: "127.0.0.1:0", admin: "127.0.0.1:0"}
identity:
  issuer: https://keyhole.test
  audience: https://keyhole.test
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
state: {type: memory}
audit: {key: "file:keys/audit.key", sinks: [{type: file, path: audit/audit.jsonl}]}
upstreams:
  sm: {type: secretsmanager}
  ssm: {type: parameterstore, region: eu-west-1, role_arn: "` + roles + `reader"}
mounts:
  - {path: red, upstream: sm, at: teams, assume_role: {arn: "` + roles + `red", external_id: red-1}}
  - {path: blue, upstream: sm, at: teams, assume_role: {arn: "` + roles + `blue"}}
  - {path: broken, upstream: sm, at: teams, assume_role: {arn: "` + roles + `none"}}
  - {path: env, upstream: sm, at: environments, layout: fields}
  - {path: shared, upstream: ssm, at: "arn:aws:ssm:us-east-2:` + awsemu.Account + `:parameter/shared"}
  - {path: arns, upstream: sm, at: "arn:aws:secretsmanager:eu-west-1:` + awsemu.Account + `:secret:teams"}
  - {path: whole, upstream: sm, at: "arn:aws:secretsmanager:eu-west-1:` + awsemu.Account + `:secret:teams/red-000001"}
`

// aws runs a server on an emulator, with these drivers and this environment.
func aws(t *testing.T, d app.Drivers, env map[string]string) (*proxytest.Server, *awsemu.Server, string) {
	t.Helper()
	emu, url := awsemu.Start(t)
	emu.AddRole(awsemu.Role{ARN: roles + "red", ExternalID: "red-1"})
	emu.AddRole(awsemu.Role{ARN: roles + "blue"})
	emu.AddRole(awsemu.Role{ARN: roles + "reader"})
	text := func(s string) *string { return &s }
	emu.PutSecret(awsemu.Region, "teams/red", text("of red"), nil)
	emu.PutSecret(awsemu.Region, "teams/blue", text("of blue"), nil)
	emu.PutSecret(awsemu.Region, "teams/blue-2", text("of blue too"), nil)
	emu.PutSecret(awsemu.Region, "environments/prod", text(`{"DB_URL":"postgres://","PORT":5432}`), nil)
	emu.PutParameter("us-east-2", "/shared/KEY", "SecureString", "of all")
	emu.Deny(func(c awsemu.Call) bool { // each team may read its own only
		team := strings.TrimPrefix(c.Principal, roles)
		return strings.HasPrefix(c.Resource, "teams/") && !strings.HasPrefix(c.Resource, "teams/"+team)
	})
	environment := map[string]string{"AWS_ENDPOINT_URL": url, "AWS_REGION": awsemu.Region}
	for name, value := range env {
		environment[name] = value
	}
	for name, value := range environment {
		t.Setenv(name, value) // for the chain, which reads the process's own
	}
	s := proxytest.NewServer(t, proxytest.Options{Document: awsDocument, Drivers: func(app.Drivers) app.Drivers { return d }})
	return s, emu, proxytest.Issuer(s.Config)(t, map[string]string{"scope": scopes})
}

func wantRead(t *testing.T, s *proxytest.Server, token, path string, code int, part string) {
	t.Helper()
	got, body := do(t, s, token, http.MethodGet, "/v1/secrets/"+path, "")
	if got != code || !strings.Contains(body, part) {
		t.Errorf("%s: got %d %s, want %d with %s", path, got, body, code, part)
	}
}

// keysInEnv is how the functions are given credentials.
var keysInEnv = map[string]string{"AWS_ACCESS_KEY_ID": awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY": awsemu.SecretKey}

// What clients of AWS call stages and labels are those of AWS, where the vault behind a mount is AWS, and names are paths.
func TestAWSDialectOverAWS(t *testing.T) {
	s, emu, token := aws(t, full.Drivers(), keysInEnv)
	text := func(s string) *string { return &s }
	old := emu.PutSecret(awsemu.Region, "teams/red", text("of red, newer"), nil)
	pending := emu.PutSecret(awsemu.Region, "teams/red", text("of red, next"), nil)
	emu.LabelSecret(awsemu.Region, "teams/red", pending, "AWSPENDING")
	emu.LabelSecret(awsemu.Region, "teams/red", old, "AWSCURRENT")
	emu.PutParameter("us-east-2", "/shared/KEY", "SecureString", "of all, newer")
	emu.LabelParameter("us-east-2", "/shared/KEY", 1, "stable")
	for _, row := range []struct{ uri, want string }{
		{"/secretsmanager/get?secretId=red/red", `"SecretString":"of red, newer","VersionStages":["AWSCURRENT"]`},
		{"/secretsmanager/get?secretId=red/red&versionStage=AWSPENDING", `"VersionId":"` + pending + `","SecretString":"of red, next","VersionStages":["AWSPENDING"]`},
		{"/v1/red/red?versionId=" + old, `"VersionId":"` + old + `","SecretString":"of red, newer"`},
		{"/systemsmanager/parameters/get/?name=%2Fshared%2FKEY&withDecryption=true", `"Value":"of all, newer","Version":2}`},
		{"/systemsmanager/parameters/get?name=/shared/KEY&label=stable", `"Selector":":stable","Type":"String","Value":"of all","Version":1}`},
		{"/systemsmanager/parameters/get?name=/aws/reference/secretsmanager/red/red&withDecryption=true", `"Value":"of red, newer"},`},
		{"/secretsmanager/get?secretId=red/blue", `{"__type":"ConnectionError"`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:2773"+row.uri, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Aws-Parameters-Secrets-Token", token)
		resp, err := s.App.AWSInProcess().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || !strings.Contains(string(body), row.want) {
			t.Errorf("%s: got %d %s (%v), want %s", row.uri, resp.StatusCode, body, err, row.want)
		}
	}
}

// A mount reads with the credentials of its own role: what one team may read, another may not, though they share an
// upstream and the place in it, and a role that cannot be assumed holds up nobody else.
func TestMountsHaveCredentialsOfTheirOwn(t *testing.T) {
	s, emu, token := aws(t, full.Drivers(), keysInEnv)
	if got := emu.Calls(); len(got) != 0 {
		t.Errorf("opening called %v", got)
	}
	for range 3 {
		wantRead(t, s, token, "red/red", 200, `"value":"of red"`)
		wantRead(t, s, token, "blue/blue", 200, `"value":"of blue"`)
		wantRead(t, s, token, "red/blue", 502, "upstream_error")
		wantRead(t, s, token, "blue/red", 502, "upstream_error")
	}
	for range 4 { // enough for the upstream to be left alone
		wantRead(t, s, token, "broken/red", 502, "upstream_error")
		wantRead(t, s, token, "broken/blue", 502, "upstream_error")
	}
	emu.Calls()
	wantRead(t, s, token, "blue/blue-2", 200, `"value":"of blue too"`) // not cached
	for _, c := range emu.Calls() {
		if c.Principal == awsemu.AccessKey && c.Action != "sts:AssumeRole" {
			t.Errorf("a mount with a role called %+v", c)
		}
	}
}

// Secrets that AWS has and cannot give, such as for their key is disabled, do not make an outage: the others are read.
func TestASecretThatCannotBeDecryptedHidesNoOther(t *testing.T) {
	s, emu, token := aws(t, full.Drivers(), keysInEnv)
	emu.Interpose(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), "blue-2") {
			r.Body = io.NopCloser(bytes.NewReader(body))
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"DecryptionFailure","Message":"Secrets Manager can't decrypt the protected secret text using the provided KMS key."}`)
		return true
	})
	for range 4 { // enough for an upstream that fails to be left alone
		wantRead(t, s, token, "blue/blue-2", 502, "upstream_error")
		wantRead(t, s, token, "blue/blue-2-too", 502, "upstream_error")
	}
	wantRead(t, s, token, "blue/blue", 200, `"value":"of blue"`)
}

func TestAWSLayoutsAndPlaces(t *testing.T) {
	s, emu, token := aws(t, full.Drivers(), keysInEnv)
	wantRead(t, s, token, "env/prod/DB_URL", 200, `"value":"postgres://"`)
	wantRead(t, s, token, "env/prod/PORT", 200, `"value":"5432"`)
	wantRead(t, s, token, "env/prod/NONE", 404, "not_found")
	wantRead(t, s, token, "shared/KEY", 200, `"value":"of all"`)
	wantRead(t, s, token, "shared/NONE", 404, "not_found")
	wantRead(t, s, token, "arns/blue", 200, `"value":"of blue"`)
	wantRead(t, s, token, "arns/blue-000003", 404, "not_found") // no second name
	wantRead(t, s, token, "whole", 200, `"value":"of red"`)
	for _, c := range emu.Calls() {
		if c.Action == "ssm:GetParameter" && c.Region != "us-east-2" {
			t.Errorf("called %+v, want the region of the ARN", c)
		}
	}
	if code, body := do(t, s, token, http.MethodGet, "/v1/secrets?prefix=env", ""); code != 200 || !strings.Contains(body, `"env/prod/PORT"`) || strings.Contains(body, "5432") {
		t.Errorf("got %d %s", code, body)
	}
	if code, body := do(t, s, token, http.MethodPut, "/v1/secrets/shared/KEY", `{"value":"x"}`); code != 405 {
		t.Errorf("writing: got %d %s, want 405", code, body)
	}
}

// An application that reads all variables of its environment, and some that are not there, costs AWS one call.
func TestAnEnvironmentIsOneCall(t *testing.T) {
	s, emu, token := aws(t, full.Drivers(), keysInEnv)
	var document strings.Builder
	for i := range 50 {
		fmt.Fprintf(&document, `,"F%02d":"value %d"`, i, i)
	}
	text := "{" + document.String()[1:] + "}"
	emu.PutSecret(awsemu.Region, "environments/wide", &text, nil)
	emu.Calls()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			code, part := 200, fmt.Sprintf(`"value":"value %d"`, i)
			if i >= 50 {
				code, part = 404, "not_found"
			}
			wantRead(t, s, token, fmt.Sprintf("env/wide/F%02d", i), code, part)
		})
	}
	wg.Wait()
	if calls := emu.Calls(); len(calls) != 1 || !strings.HasPrefix(calls[0].Action, "secretsmanager:") {
		t.Errorf("got the calls %+v, want one", calls)
	}
}

// The functions take the credentials of their environment; the server goes by the profiles of its user as well.
func TestWhereAWSCredentialsComeFrom(t *testing.T) {
	dir := t.TempDir()
	profile := filepath.Join(dir, "credentials")
	text := "[edge]\naws_access_key_id = " + awsemu.AccessKey + "\naws_secret_access_key = " + awsemu.SecretKey + "\n"
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inProfile := map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": profile, "AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_PROFILE": "edge", "AWS_EC2_METADATA_DISABLED": "true",
	}
	small := full.Drivers()
	for _, kind := range []string{"secretsmanager", "parameterstore"} {
		small.Upstreams[kind] = edge.Drivers().Upstreams[kind]
	}
	for _, tt := range []struct {
		name    string
		drivers app.Drivers
		env     map[string]string
		code    int
		want    string
	}{
		{"full, environment", full.Drivers(), keysInEnv, 200, "postgres"},
		{"full, profile", full.Drivers(), inProfile, 200, "postgres"},
		{"edge, environment", small, keysInEnv, 200, "postgres"},
		{"edge, profile", small, inProfile, 502, "upstream_error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, token := aws(t, tt.drivers, tt.env)
			wantRead(t, s, token, "env/prod/DB_URL", tt.code, tt.want)
		})
	}
}

// The chain of credentials says nothing in a log of its own.
func TestTheChainOfCredentialsIsQuiet(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary", http.StatusForbidden)
	}))
	t.Cleanup(refuses.Close)
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": refuses.URL, "AWS_REGION": awsemu.Region, "AWS_ENDPOINT_URL": refuses.URL,
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_PROFILE": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_EC2_METADATA_DISABLED": "",
	} {
		t.Setenv(name, value)
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	usual := os.Stderr
	os.Stderr = said
	t.Cleanup(func() { os.Stderr = usual; _ = said.Close() })
	u, err := full.Drivers().Upstreams["secretsmanager"](app.Env{Getenv: os.Getenv, Wall: time.Now}, config.Upstream{Type: "secretsmanager", AWS: &config.AWS{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	if _, err := u.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(said.Name()); err != nil || len(b) > 0 {
		t.Errorf("it said %q, %v", b, err)
	}
}

// A login that hangs ends with the one who wanted it: the next logs in anew, and is answered.
func TestALoginThatHangsHoldsUpNoOther(t *testing.T) {
	emu, url := awsemu.Start(t)
	text := "of all"
	emu.PutSecret(awsemu.Region, "web/A", &text, nil)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_STS": url, "AWS_REGION": awsemu.Region, "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": roles + "pod",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": token + "x", "AWS_SHARED_CREDENTIALS_FILE": token + "x",
	} {
		t.Setenv(name, value)
	}
	u, err := full.Drivers().Upstreams["secretsmanager"](app.Env{Getenv: os.Getenv, Wall: time.Now}, config.Upstream{Type: "secretsmanager", AWS: &config.AWS{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan struct{})
	var hung atomic.Bool
	emu.Interpose(func(w http.ResponseWriter, r *http.Request, action string) bool {
		if action != "sts:AssumeRoleWithWebIdentity" {
			return false
		}
		if hung.CompareAndSwap(false, true) {
			leave()
			select {
			case <-over:
			case <-r.Context().Done():
			}
		}
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>`+
			`<SecretAccessKey>%s</SecretAccessKey><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			awsemu.AccessKey, awsemu.SecretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		return true
	})
	defer close(over)
	if _, err := u.Read(ctx, "web/A", secret.Current); !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v", err)
	}
	patient, cancel := context.WithTimeout(t.Context(), proxytest.Patience)
	defer cancel()
	s, err := u.Read(patient, "web/A", secret.Current)
	if err != nil || string(s.Value.Reveal()) != text {
		t.Errorf("the next: got %v", err)
	}
}
