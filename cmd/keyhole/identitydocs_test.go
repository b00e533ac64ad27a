package main_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// The pages about platforms are run as they are. What is put in place of the platforms is at the edge of the network: their
// issuers, the service of Vercel and that of GitHub's runners that make tokens, the commands aws, kubectl and gh, and the
// file that a pod would have. Their answers are tokens in the platforms' shapes, with our audience only where it was asked for.
func TestIdentityDocument(t *testing.T) {
	for _, tool := range []string{"jq", "gzip", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not here")
		}
	}
	text := string(read(t, "../../docs/identity.md"))
	if !strings.Contains(text, "\n    "+identity.ProjectTokenPattern+"\n") {
		t.Errorf("the pattern of project tokens is not %s", identity.ProjectTokenPattern)
	}
	w := newWorld(t)
	script, rules := "", 0
	for _, b := range fence.FindAllStringSubmatch(text, -1) {
		rule, isRule := strings.CutPrefix(b[2], "identity:\n  trust:\n")
		switch {
		case isRule:
			rules++
			script += w.edit(t, rule) + "\n"
		case strings.Contains(b[2], "function_url_only"): // of a function, which no server here is
			parseExample(t, "the callers of a Function URL", "version: 1\n"+b[2]+"\naudit: {key: file:keys/audit.key, sinks: [{type: file, path: audit.jsonl}]}\n")
		case b[1] == "yaml":
			var part any
			if err := yaml.Unmarshal([]byte(b[2]), &part); err != nil || !strings.Contains(b[2], "audience: "+devAudience+",") {
				t.Errorf("%v in %s", err, b[2])
			}
		default:
			script += b[2] + "\n"
			if strings.Contains(b[2], "trust add-key") {
				script += "reloaded\n"
			}
		}
	}
	if rules != len(w.platforms)+1 { // and that of a client's key
		t.Errorf("got %d rules", rules)
	}
	runExample(t, prelude+strings.NewReplacer("https://oidc.vercel.com/~token", w.url+"/~token", "/var/run/secrets/keyhole/token", w.file("pod.token")).Replace(script))
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.asked, " "); got != "/~token /runner" {
		t.Errorf("tokens were asked for at %q", got)
	}
}

const devAudience = "https://keyhole.localhost"

// prelude is what the person at the keyboard does besides commands: editing the configuration, and waiting until the log
// says that it was taken.
const prelude = `
add_rule() {
	[ -e rules ] || cp .keyhole/keyhole.yaml before
	cat >>rules
	seen=$(grep -c 'configuration reloaded' dev.log || true)
	{ sed '/^upstreams:/,$d' before; echo '  trust:'; cat rules; sed -n '/^upstreams:/,$p' before; } >edited
	cat edited >.keyhole/keyhole.yaml
	keyhole config validate
}
reloaded() {
	for _ in $(seq 300); do
		[ "$(grep -c 'configuration reloaded' dev.log || true)" -gt "$seen" ] && return
		sleep 0.1
	done
	cat dev.log >&2
	return 1
}
`

// world is what is around the page.
type world struct {
	dir       string               // on PATH, with the tokens that the commands give out
	url       string               // of the services that make tokens
	platforms map[string]*platform // by template

	mu    sync.Mutex
	asked []string // of the services
}

// platform has the claims of a fixture of package trust, and its own keys.
type platform struct {
	*oidcemu.Issuer
	key    *oidcemu.Key
	claims map[string]any
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), platforms: map[string]*platform{}}
	for _, name := range []string{"vercel", "aws", "kubernetes", "github"} {
		var fixture struct {
			Alg    string
			Claims map[string]any
		}
		if err := json.Unmarshal(read(t, "../../proxy/identity/trust/testdata/tokens/"+name+".json"), &fixture); err != nil {
			t.Fatal(err)
		}
		key := oidcemu.NewKey(fixture.Alg, name+"-1")
		w.platforms[name] = &platform{oidcemu.New(t, key), key, fixture.Claims}
	}
	w.serve(t)
	cluster := w.platforms["kubernetes"]
	cluster.SetDown(true) // its keys are in the file that the page makes
	replace(t, w.file("cluster.jwks"), oidcemu.JWKS(cluster.key))
	replace(t, w.file("pod.token"), []byte(cluster.token([]string{devAudience})))
	replace(t, w.file("aws.token"), []byte(w.platforms["aws"].token(devAudience)+"\n"))
	w.command(t, "aws", map[string]string{
		"iam enable-outbound-web-identity-federation":                                                                                                                                                  "true",
		"iam get-outbound-web-identity-federation-info --query IssuerIdentifier --output text":                                                                                                         "echo " + w.platforms["aws"].claims["iss"].(string),
		"sts get-web-identity-token --audience " + devAudience + " --signing-algorithm ES384 --duration-seconds 300 --query WebIdentityToken --output text":                                            "cat " + w.file("aws.token"),
		"iam get-role --role-name worker --query Role.RoleId --output text":                                                                                                                            "echo AROACKCEVSQ6C2EXAMPLE",
		"lambda create-function-url-config --function-name keyhole --auth-type AWS_IAM":                                                                                                                "true",
		"lambda add-permission --function-name keyhole --statement-id worker-url --principal arn:aws:iam::123456789012:role/worker --action lambda:InvokeFunctionUrl --function-url-auth-type AWS_IAM": "true",
		"lambda add-permission --function-name keyhole --statement-id worker-invoke --principal arn:aws:iam::123456789012:role/worker --action lambda:InvokeFunction --invoked-via-function-url":       "true",
	})
	w.command(t, "kubectl", map[string]string{
		"get --raw /.well-known/openid-configuration":                `echo '{"issuer":"` + cluster.claims["iss"].(string) + `"}'`,
		"get serviceaccount web -n apps -o jsonpath={.metadata.uid}": "echo e6a8680e-d103-4cce-80ea-03acbbeacf7d",
		"get --raw /openid/v1/jwks":                                  "cat " + w.file("cluster.jwks"),
		"create token web -n apps --audience " + devAudience:         "cat " + w.file("pod.token"),
	})
	w.command(t, "gh", map[string]string{"api users/octo-org --jq .id": "echo 65", "api repos/octo-org/octo-repo --jq .id": "echo 74"})
	t.Setenv("PATH", w.dir+":"+os.Getenv("PATH"))
	return w
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// command puts a command on PATH that knows these arguments, and no others.
func (w *world) command(t *testing.T, name string, answers map[string]string) {
	t.Helper()
	script := "#!/bin/sh\ncase \"$*\" in\n"
	for arguments, do := range answers {
		script += "'" + arguments + "') " + do + ";;\n"
	}
	script += "*) echo \"" + name + ": what is $*?\" >&2; exit 2;;\nesac\n"
	if err := os.WriteFile(w.file(name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// serve runs the services at which a deployment of Vercel and a runner of GitHub ask for a token with an audience.
func (w *world) serve(t *testing.T) {
	t.Helper()
	vercel, github := w.platforms["vercel"], w.platforms["github"]
	given := vercel.token("https://vercel.com/acme")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var body struct{ Token, Aud string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/~token" && body.Token == given:
			_ = json.NewEncoder(rw).Encode(map[string]string{"token": vercel.token(body.Aud)})
		case r.Method == http.MethodGet && r.URL.Path == "/runner" && r.Header.Get("Authorization") == "Bearer runner":
			_ = json.NewEncoder(rw).Encode(map[string]any{"count": 1, "value": github.token(r.URL.Query().Get("audience"))})
		default:
			http.Error(rw, "no token for that", http.StatusBadRequest)
			return
		}
		w.asked = append(w.asked, r.URL.Path)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	w.url = srv.URL
	replace(t, w.file("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	t.Setenv("CURL_CA_BUNDLE", w.file("ca.pem"))
	t.Setenv("VERCEL_OIDC_TOKEN", given)
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", w.url+"/runner?api-version=2.0")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner")
}

// token is what the platform gives its workload for an audience.
func (p *platform) token(aud any) string {
	claims, now := maps.Clone(p.claims), time.Now().Unix()
	claims["aud"], claims["iat"], claims["nbf"], claims["exp"] = aud, now-60, now-60, now+600
	return p.key.Sign(claims)
}

// edit is the command that adds a rule of the page to the configuration. The keys of its issuer are on this machine.
func (w *world) edit(t *testing.T, rule string) string {
	t.Helper()
	name := template.FindStringSubmatch(rule)
	if name == nil {
		t.Fatalf("no template in %s", rule)
	}
	if name[1] == "key" { // taken when the file with its keys is there
		return "add_rule <<'RULE'\n" + rule + "\nRULE"
	}
	p := w.platforms[name[1]]
	if p == nil {
		t.Fatalf("there is no %s here", name[1])
	}
	here := fmt.Sprintf("      jwks_uri: %s\n      ca: file:%s\n      allow_private: true", p.JWKSURI(), p.CAFile)
	return "add_rule <<'RULE'\n" + rule + "\n" + here + "\nRULE\nreloaded"
}

var template = regexp.MustCompile(`(?m)^      template: (\w+)$`)
