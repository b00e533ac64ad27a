package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

const herdDocument = `{
  "version": 1,
  "identity": {"issuer": "https://keyhole.test", "audience": "https://keyhole.test", "signing_key": "file:keys/signing.pem", "keys": "file:keys/jwks.json"},
  "upstreams": {"bao": {"type": "vault", "address": "%s", "kv": {"mount": "%s", "version": 2}, "auth": {"method": "approle", "role_id": "env:ROLE_ID", "secret_id": "env:SECRET_ID"}}},
  "mounts": [{"path": "web", "upstream": "bao", "at": "apps/web"}],
  "state": {"type": "memory"},
  "audit": {"key": "file:keys/audit.key", "sinks": [{"type": "file", "path": "audit-%d.jsonl", "required": true}]}
}`

// counter stands before a vault and counts what it is asked.
type counter struct {
	*httptest.Server

	mu    sync.Mutex
	calls map[string]int
	cut   int // whoever asked has hung up before the answer
}

func newCounter(t *testing.T, target string) *counter {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	next := httputil.NewSingleHostReverseProxy(u)
	c := &counter{calls: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.calls[r.Method+" "+r.URL.Path]++
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if r.Context().Err() != nil {
				c.cut++
			}
		}()
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// took returns the counts since it was last called.
func (c *counter) took() (calls map[string]int, cut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls, cut = c.calls, c.cut
	c.calls, c.cut = map[string]int{}, 0
	return calls, cut
}

// Fifty environments that start at once, each with several invocations that want one secret, cost the vault one login and
// one read each, and no more where the secret is read ahead.
func TestHerdOfColdStarts(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	bao.Must(t, "POST", mount+"/data/apps/web/DB", map[string]any{"data": map[string]string{"password": "of a real vault"}})
	bao.Policy(t, "edge", map[string]string{mount + "/data/apps/*": "read"})
	roleID, secretID := bao.AppRole(t, "edge", nil)
	before := newCounter(t, bao.URL)
	f := newFunction(t)
	const environments, invocations = 50, 4
	for name, prefetch := range map[string]string{"AsAsked": "", "Prefetch": "web/DB"} {
		t.Run(name, func(t *testing.T) {
			var all [environments]*lambdaemu.Environment
			for i := range all { // started, and not waited for
				all[i] = f.start(t, lambdaemu.Config{Concurrency: invocations, Timeout: 4 * proxytest.Patience, Env: []string{
					"KEYHOLE_CONFIG=" + fmt.Sprintf(herdDocument, before.URL, mount, i), "KEYHOLE_PREFETCH=" + prefetch,
					"ROLE_ID=" + roleID, "SECRET_ID=" + secretID,
				}})
			}
			for _, e := range all { // their starts leave a vault too little of the machine to answer within a try of a read
				if _, err := e.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			for _, e := range all {
				for range invocations {
					wg.Go(func() {
						if out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB")); err != nil || !strings.Contains(string(out), "of a real vault") {
							t.Errorf("got %s, %v", out, err)
						}
					})
				}
			}
			wg.Wait()
			calls, cut := before.took()
			t.Logf("%d environments, %d invocations: the vault was asked for %v", environments, environments*invocations, calls)
			logins, reads := calls["PUT /v1/auth/approle/login"]+calls["POST /v1/auth/approle/login"], calls["GET /v1/"+mount+"/data/apps/web/DB"]
			// A machine that is busy may give some less time, to read ahead above all, than that takes: what was cut off is asked
			// for again.
			most := environments + cut
			for _, e := range all {
				e.Kill() // then its log is whole
				most += strings.Count(e.Log(), "could not be read ahead")
			}
			if len(calls) != 2 || logins < environments || logins > most || reads < environments || reads > most {
				t.Errorf("got %v, want %d logins and as many reads", calls, environments)
			}
		})
	}
}
