package keyhole_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// region is a whole Keyhole behind a listener of its own, with a way to stand before it.
type region struct {
	*httptest.Server
	keyhole *proxytest.Server // nil: there is none, and answer answers all
	admin   string            // token that may do everything
	key     *identity.ClientKey
	aws     *oidcemu.Key

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request) bool // true: it has answered; nil: nothing is in the way
	token  string                                        // the last one that came by
	calls  []string                                      // method and path of each request
}

const (
	issuer  = "https://keyhole.test"
	client  = "worker"
	awsIss  = "https://0b1c2d3e.tokens.sts.global.api.aws"
	awsRole = "arn:aws:iam::123456789012:role/function"
)

const document = `version: 1
identity:
  issuer: https://keyhole.test
  audience: https://keyhole.test
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
  trust:
    - {name: worker, template: key, with: {client_id: worker}, jwks: "file:keys/worker.jwks.json", map: {scope: ["read:**", "list:**"]}}
    - name: role
      template: aws
      with: {issuer: "https://0b1c2d3e.tokens.sts.global.api.aws", account: "123456789012", role: "arn:aws:iam::123456789012:role/function"}
      jwks: file:keys/aws.jwks.json
      map: {scope: ["read:**", "list:**"]}
upstreams:
  local: {type: embedded, path: vault.db, key: "file:keys/master.key"}
mounts:
  - {path: "", upstream: local, cache: {soft_ttl: 1m, hard_ttl: 5m}}
state: {type: memory}
audit: {key: "file:keys/audit.key", sinks: [{type: file, path: audit.jsonl}]}
`

// bare serves what answer answers.
func bare(t *testing.T, answer func(http.ResponseWriter, *http.Request) bool) *region {
	t.Helper()
	r := &region{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

// newRegion runs a Keyhole with an empty vault until t ends.
func newRegion(t *testing.T, o proxytest.Options) *region {
	t.Helper()
	key, err := identity.NewClientKey(client)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	aws := oidcemu.NewKey("ES384", "k1")
	o.Dir, o.Document = t.TempDir(), document
	if err := os.MkdirAll(filepath.Join(o.Dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"worker": []byte(`{"keys":[` + string(public) + `]}`), "aws": oidcemu.JWKS(aws)} {
		if err := os.WriteFile(filepath.Join(o.Dir, "keys", name+".jwks.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := bare(t, nil)
	r.keyhole, r.key, r.aws = proxytest.NewServer(t, o), key, aws
	r.admin = proxytest.Issuer(r.keyhole.Config)(t, map[string]string{"scope": "read:** list:** write:** revoke:** invalidate:**", "subject": "admin"})
	return r
}

func (r *region) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.calls = append(r.calls, req.Method+" "+req.URL.RequestURI())
	if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok {
		r.token = token
	}
	answer := r.answer
	r.mu.Unlock()
	switch {
	case answer != nil && answer(w, req):
	case r.keyhole != nil:
		r.keyhole.App.Native.ServeHTTP(w, req)
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// interpose lets answer stand in the way.
func (r *region) interpose(answer func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// asked returns the requests since it was last called.
func (r *region) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// do is a request of the region's administrator, past what stands in the way.
func (r *region) do(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(method, "http://in-process.invalid"+path, bytes.NewReader(text))
	req.Header.Set("Authorization", "Bearer "+r.admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.keyhole.App.InProcess().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if resp.StatusCode/100 != 2 || resp.StatusCode != http.StatusNoContent && json.NewDecoder(resp.Body).Decode(&answer) != nil {
		t.Fatalf("%s %s: %d %v", method, path, resp.StatusCode, answer)
	}
	return answer
}

// put stores a value.
func (r *region) put(t *testing.T, path, value string) {
	t.Helper()
	r.do(t, http.MethodPut, "/v1/secrets/"+path, map[string]string{"value": value})
}

func (r *region) config(login keyhole.Login) keyhole.Config {
	return keyhole.Config{Address: r.URL, Login: login}
}

// byKey logs in with the client's key.
func (r *region) byKey() keyhole.Login {
	return keyhole.Assertion(func(now time.Time) (string, error) { return r.key.Assertion(issuer, now) })
}

func constant(s string) keyhole.Source { return func() ([]byte, error) { return []byte(s), nil } }

func open(t *testing.T, c keyhole.Config) *keyhole.Node {
	t.Helper()
	u, err := keyhole.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return u
}

func read(t *testing.T, u *keyhole.Node, name string) *secret.Secret {
	t.Helper()
	s, err := u.Read(t.Context(), name, secret.Current)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// always gives every request but logins the same answer.
func always(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if isLogin(r) {
			return false
		}
		reply(w, status, body)
		return true
	}
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// failure is an error as a Keyhole tells it.
func failure(code string) string {
	return `{"error":{"code":"` + code + `","message":"` + canary + `","decision":"01K"}}`
}

func isLogin(r *http.Request) bool { return r.URL.Path == "/v1/token" }
