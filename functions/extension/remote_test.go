package main_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const (
	federation = "https://0b1c2d3e.tokens.sts.global.api.aws"
	trustOfAWS = `
  trust:
    - name: lambda
      template: aws
      with: {issuer: "` + federation + `", account: "123456789012", role: "` + role + `"}
      jwks: file:keys/aws.jwks.json
      map: {scope: ["read:web/production/*"]}
upstreams:`
)

// region is a Keyhole that has web/production/DB, and its URL. It takes the tokens that AWS gives the function's role.
func region(t *testing.T, emu *awsemu.Server) (*proxytest.Server, string) {
	t.Helper()
	return regionWith(t, emu, "", nil)
}

// regionWith is region with more trust rules, and their key sets by name.
func regionWith(t *testing.T, emu *awsemu.Server, rules string, keys map[string][]byte) (*proxytest.Server, string) {
	t.Helper()
	var handler http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	key, dir := oidcemu.NewKey("ES384", "k1"), t.TempDir()
	emu.Federate(awsemu.Federation{Issuer: federation, Key: key, Role: role})
	all := map[string][]byte{"aws": oidcemu.JWKS(key)}
	maps.Copy(all, keys)
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, "keys", name+".jwks.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust := strings.Replace(trustOfAWS, "\nupstreams:", rules+"\nupstreams:", 1)
	s := proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: strings.NewReplacer("https://keyhole.test", front.URL, "\nupstreams:", trust).Replace(proxytest.Document)})
	handler = s.App.Native
	tell(t, s, http.MethodPut, "/v1/secrets/web/production/DB", "write:web/production/*", `{"value":"of the region"}`)
	return s, front.URL
}

// tell makes a request of a region, past what stands before it.
func tell(t *testing.T, s *proxytest.Server, method, uri, scope, body string) {
	t.Helper()
	target := s.Target()
	r, err := http.NewRequestWithContext(t.Context(), method, target.URL+uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+target.Token(t, map[string]string{"scope": scope}))
	resp, err := target.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: got %d %s", method, uri, resp.StatusCode, text)
	}
}

// With KEYHOLE_URL both services' names are paths of the regional Keyhole, which decides who the function is.
func TestKeyholeOfTheRegion(t *testing.T) {
	emu, address := awsemu.Start(t)
	s, url := region(t, emu)
	token := s.Target().Token(t, map[string]string{"scope": "read:web/production/*"})
	for name, env := range map[string][]string{
		"a token":  {"KEYHOLE_TOKEN=" + token},
		"the role": {"AWS_ENDPOINT_URL_STS=" + address},
	} {
		t.Run(name, func(t *testing.T) {
			p := setting{aws: emu, address: "http://127.0.0.1:1", env: append(env, "KEYHOLE_URL="+url)}.ready(t)
			p.want(t, "/secretsmanager/get?secretId=web/production/DB", 200, `"SecretString":"of the region"`)
			p.want(t, "/systemsmanager/parameters/get?name=/web/production/DB", 200, `"Value":"of the region"`)
			p.want(t, "/secretsmanager/get?secretId=web/production/NONE", 400, "ResourceNotFoundException")
			p.want(t, "/secretsmanager/get?secretId=web/preview/DB", 502, "ConnectionError") // which the region denies us
			p.get(t, "/secretsmanager/get?secretId=web/production/DB", tokenHeader, token).want(t, "the region's token", 401)
		})
	}
}

func TestRegionThatIsDown(t *testing.T) {
	p := setting{env: []string{"KEYHOLE_URL=http://127.0.0.1:1", "KEYHOLE_TOKEN=t"}}.ready(t)
	p.want(t, "/secretsmanager/get?secretId=web/production/DB", 502, "ConnectionError")
}
