package awsjson_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func getenv(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	got, err := awsjson.Environment(getenv("AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "key", "AWS_SESSION_TOKEN", "token")).Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "key" || got.SessionToken != "token" || got.CanExpire {
		t.Errorf("got %v", err)
	}
	for name, env := range map[string][]string{
		"nothing":             nil,
		"half":                {"AWS_ACCESS_KEY_ID", "id"},
		"another machine":     {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/creds"},
		"neighbour":           {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.169.254/creds"},
		"no URL":              {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "creds"},
		"no token file":       {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such/file"},
		"a token of two rows": {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nb"},
		"nobody there":        {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"},
	} {
		_, err := awsjson.Environment(getenv(env...)).Retrieve(t.Context())
		if !errors.Is(err, awsjson.ErrLogin) || !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrLogin", name, err)
		}
		if unasked := strings.Contains(err.Error(), "must be https"); unasked != slices.Contains([]string{"another machine", "neighbour", "no URL"}, name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The endpoint of a container's role: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func TestCredentialsOfAContainer(t *testing.T) {
	const canary = "canary-5e11f00d"
	answer := fmt.Sprintf(`{"AccessKeyId":"id","SecretAccessKey":"key","Token":"token","Expiration":%q,"RoleArn":"r"}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	status, body, token := 200, answer, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("Authorization")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := awsjson.Environment(getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file))
	got, err := p.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "id" || got.SessionToken != "token" || !got.CanExpire || token != "of the file" {
		t.Errorf("got %v, and it was shown %q", err, token)
	}
	for _, bad := range []struct {
		status int
		body   string
	}{
		{403, canary}, {200, canary}, {200, `{"AccessKeyId":"` + canary + `"}`}, {200, `{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"` + canary + `"}`}, {200, strings.Repeat(canary, 10_000)},
	} {
		status, body = bad.status, bad.body
		if _, err := p.Retrieve(t.Context()); !errors.Is(err, awsjson.ErrLogin) || strings.Contains(err.Error(), canary) {
			t.Errorf("%d %.40s: got %v", bad.status, bad.body, err)
		}
	}
}

func TestSettingsOfTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  []string
		want awsjson.Settings
	}{
		{nil, awsjson.Settings{}},
		{[]string{"AWS_DEFAULT_REGION", "b"}, awsjson.Settings{Region: "b"}},
		{[]string{"AWS_DEFAULT_REGION", "b", "AWS_REGION", "a"}, awsjson.Settings{Region: "a"}},
		{[]string{"AWS_ENDPOINT_URL", "u"}, awsjson.Settings{Endpoint: "u", STSEndpoint: "u"}},
		{[]string{"AWS_ENDPOINT_URL", "u", "AWS_ENDPOINT_URL_SSM", "ssm", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "no"}, awsjson.Settings{Endpoint: "ssm", STSEndpoint: "u"}},
		{[]string{"AWS_ENDPOINT_URL_STS", "sts"}, awsjson.Settings{STSEndpoint: "sts"}},
		{[]string{"AWS_ENDPOINT_URL", "u", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}, awsjson.Settings{}},
		{[]string{"AWS_ENDPOINT_URL", "u", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True"}, awsjson.Settings{}},
		{[]string{"AWS_CA_BUNDLE", file}, awsjson.Settings{CA: []byte("PEM")}},
	} {
		if got, err := awsjson.FromEnvironment(getenv(tt.env...), "SSM"); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v %v, want %+v", tt.env, got, err, tt.want)
		}
	}
	if _, err := awsjson.FromEnvironment(getenv("AWS_CA_BUNDLE", file+"x"), "SSM"); err == nil {
		t.Error("a missing AWS_CA_BUNDLE is no error")
	}
}

// Only who shows a certificate of the authorities that are set is believed.
func TestCustomCA(t *testing.T) {
	emu := &awsemu.Server{}
	emu.PutParameter(awsemu.Region, "A", "String", "a")
	server := httptest.NewUnstartedServer(emu)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it hears of the one who does not trust it
	server.StartTLS()
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	set := func(ca []byte) func(*awsjson.Config) {
		return func(c *awsjson.Config) { c.Endpoint, c.CA, c.Wall = server.URL, ca, nil }
	}
	trusting, _, _ := open(t, set(ca))
	if err := read(t.Context(), trusting); err != nil {
		t.Error(err)
	}
	other, _, _ := open(t, set(nil))
	if err := read(t.Context(), other); !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a certificate that is not trusted", err)
	}
}
