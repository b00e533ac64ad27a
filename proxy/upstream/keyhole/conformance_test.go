package keyhole_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

const canary = upstreamtest.Canary

// A whole Keyhole keeps the contract of a vault.
func TestConformance(t *testing.T) {
	b := &bench{}
	upstreamtest.Run(t, upstreamtest.Harness{
		Open: b.open, Put: b.put, Fault: b.fault,
		Values: true, Binary: true, Fields: true, Metadata: true, KeepsVersions: true, Lists: true, Histories: true,
	})
}

// bench is the region that was opened last, and its vault.
type bench struct {
	*region
	vault secret.Upstream
}

func (b *bench) open(t *testing.T) secret.Upstream {
	t.Helper()
	b.region = newRegion(t, proxytest.Options{Drivers: func(d app.Drivers) app.Drivers {
		embedded := d.Upstreams["embedded"]
		d.Upstreams["embedded"] = func(e app.Env, u config.Upstream) (up secret.Upstream, err error) {
			b.vault, err = embedded(e, u)
			return b.vault, err
		}
		return d
	}})
	u, err := keyhole.New(b.config(b.byKey()))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// put stores in the vault itself: the native API takes no names that differ in case only.
func (b *bench) put(t *testing.T, name string, s *secret.Secret) secret.Version {
	t.Helper()
	v, _, err := b.vault.(secret.Writer).Write(t.Context(), name, secret.Write{Secret: s})
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, http.MethodPost, "/v1/invalidations", map[string]string{"path": name})
	return v
}

func (b *bench) fault(t *testing.T, f upstreamtest.Fault) {
	t.Helper()
	t.Cleanup(func() { b.interpose(nil) })
	switch f {
	case upstreamtest.Throttled:
		b.interpose(always(429, failure("rate_limited")))
	case upstreamtest.ServerError:
		b.interpose(always(500, failure("internal")))
	case upstreamtest.Denied:
		b.interpose(always(403, failure("policy_denied")))
	case upstreamtest.MissingMount:
		b.interpose(always(404, failure("unknown_route")))
	case upstreamtest.Malformed:
		b.interpose(b.half)
	case upstreamtest.Oversized:
		b.interpose(func(w http.ResponseWriter, r *http.Request) bool {
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
		b.interpose(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	case upstreamtest.Gateway:
		b.interpose(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<html><body>404 "+canary+"</body></html>")
			return true
		})
	case upstreamtest.LoginRefused:
		b.interpose(func(w http.ResponseWriter, r *http.Request) bool {
			if isLogin(r) {
				reply(w, 401, `{"error":"invalid_client","error_description":"`+canary+`"}`)
			} else {
				reply(w, 401, failure("token_revoked"))
			}
			return true
		})
	case upstreamtest.LoginExpired:
		b.interpose(b.expired())
	default:
		t.Skipf("no way to make %v", f)
	}
}

// half answers what the region answers, as far as its middle.
func (b *bench) half(w http.ResponseWriter, r *http.Request) bool {
	if isLogin(r) {
		return false
	}
	whole := httptest.NewRecorder()
	b.keyhole.App.Native.ServeHTTP(whole, r)
	reply(w, whole.Code, whole.Body.String()[:whole.Body.Len()/2])
	return true
}

// expired refuses the token that was used last, and no other.
func (r *region) expired() func(http.ResponseWriter, *http.Request) bool {
	r.mu.Lock()
	old := r.token
	r.mu.Unlock()
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Authorization") != "Bearer "+old {
			return false
		}
		reply(w, 401, failure("token_expired"))
		return true
	}
}
