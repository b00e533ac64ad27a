package vault_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

// bench is a real OpenBao, an edge before it, and the engine that was opened last.
type bench struct {
	bao     *baotest.Server
	edge    *edge
	version int
	inline  bool
	role    [2]string // id and secret
	mount   string
}

func TestConformance(t *testing.T) {
	bao := baotest.Start(t)
	for _, tt := range []struct {
		name    string
		version int
		inline  bool
	}{{"KV1", 1, false}, {"KV2", 2, false}, {"KV2Inline", 2, true}} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{bao: bao, edge: newEdge(t, bao.URL), version: tt.version, inline: tt.inline}
			bao.Policy(t, "suite", map[string]string{"+/*": "create read update list delete"})
			b.role[0], b.role[1] = bao.AppRole(t, "suite", nil)
			second := tt.version == 2
			upstreamtest.Run(t, upstreamtest.Harness{
				Open: b.open, Put: b.put, Fault: b.fault,
				Fields: true, Metadata: second, KeepsVersions: second, Writes: second, Lists: true, Deletes: second, Histories: second,
				ListsDeleted: true,
			})
		})
	}
}

func (b *bench) open(t *testing.T) secret.Upstream {
	t.Helper()
	b.mount = b.bao.Mount(t, b.version)
	u, err := vault.New(vault.Config{
		Address: b.edge.URL, Mount: b.mount, Version: b.version, Inline: b.inline,
		Login: vault.AppRole("approle", constant(b.role[0]), constant(b.role[1])),
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (b *bench) put(t *testing.T, name string, s *secret.Secret) secret.Version {
	t.Helper()
	data := map[string]string{}
	for _, f := range s.Fields {
		data[f.Name] = string(f.Value.Reveal())
	}
	if b.version == 1 {
		b.bao.Must(t, "POST", b.mount+"/"+name, data)
		return ""
	}
	n := b.bao.Must(t, "POST", b.mount+"/data/"+name, map[string]any{"data": data})["version"]
	if s.Metadata != nil {
		b.bao.Must(t, "POST", b.mount+"/metadata/"+name, map[string]any{"custom_metadata": s.Metadata})
	}
	return secret.Version(fmt.Sprint(n))
}

const canary = upstreamtest.Canary

func (b *bench) fault(t *testing.T, f upstreamtest.Fault) {
	t.Helper()
	t.Cleanup(func() { b.edge.interpose(nil) })
	switch f {
	case upstreamtest.Throttled:
		b.edge.interpose(always(429, `{"errors":["quota exceeded `+canary+`"]}`))
	case upstreamtest.ServerError:
		b.edge.interpose(always(500, `{"errors":["internal error `+canary+`"]}`))
	case upstreamtest.Denied:
		b.edge.interpose(always(403, `{"errors":["1 error occurred:\n\t* permission denied `+canary+`\n\n"]}`))
	case upstreamtest.MissingMount:
		b.edge.interpose(always(404, `{"errors":["no handler for route \"`+canary+`\". route entry not found."]}`))
	case upstreamtest.Malformed:
		b.edge.interpose(b.half)
	case upstreamtest.Oversized:
		b.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
			if isLogin(r) {
				return false
			}
			_, _ = io.WriteString(w, `{"data":"`)
			for piece := strings.Repeat(canary, 1000); r.Context().Err() == nil; {
				if _, err := io.WriteString(w, piece); err != nil {
					break
				}
			}
			return true
		})
	case upstreamtest.Silent:
		b.edge.interpose(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	case upstreamtest.Gateway:
		b.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<html><body>404 "+canary+"</body></html>")
			return true
		})
	case upstreamtest.LoginRefused:
		if !b.inline {
			b.revoke(t)
		}
		b.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
			if b.inline {
				w.Header().Set("X-Vault-Inline-Auth-Failed", "true")
			}
			if isLogin(r) || b.inline {
				reply(w, 403, `{"errors":["permission denied `+canary+`"]}`)
				return true
			}
			return false
		})
	case upstreamtest.LoginExpired:
		if b.inline {
			t.Skip("there is no login between requests")
		}
		b.revoke(t)
	default:
		t.Skipf("no way to make %v", f)
	}
}

// half answers what the vault answers, as far as its middle.
func (b *bench) half(w http.ResponseWriter, r *http.Request) bool {
	if isLogin(r) {
		return false
	}
	whole := httptest.NewRecorder()
	b.edge.proxy.ServeHTTP(whole, r)
	reply(w, whole.Code, whole.Body.String()[:whole.Body.Len()/2])
	return true
}

// revoke ends the login that was used last.
func (b *bench) revoke(t *testing.T) {
	t.Helper()
	b.edge.mu.Lock()
	token := b.edge.token
	b.edge.mu.Unlock()
	b.bao.Must(t, "POST", "auth/token/revoke", map[string]string{"token": token})
}
