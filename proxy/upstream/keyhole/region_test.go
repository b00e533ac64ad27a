package keyhole_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

// failing is a vault that can be made to fail.
type failing struct {
	secret.Upstream
	secret.Writer
	down atomic.Bool
}

func (f *failing) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	if f.down.Load() {
		return nil, secret.ErrUnavailable
	}
	return f.Upstream.Read(ctx, name, v)
}

// What the region has cached comes with its age, and what it serves stale comes stale.
func TestAgeAndStaleness(t *testing.T) {
	c, vault := newClock(), &failing{}
	r := newRegion(t, proxytest.Options{Wall: c.wall, Mono: c.mono, Drivers: func(d app.Drivers) app.Drivers {
		embedded := d.Upstreams["embedded"]
		d.Upstreams["embedded"] = func(e app.Env, u config.Upstream) (secret.Upstream, error) {
			up, err := embedded(e, u)
			vault.Upstream, vault.Writer = up, up.(secret.Writer)
			return vault, err
		}
		return d
	}})
	r.put(t, "a", "v")
	cfg := r.config(r.byKey())
	cfg.Wall = c.wall
	u := open(t, cfg)
	if s := read(t, u, "a"); s.Age != 0 || s.Stale {
		t.Errorf("just read: %v old, stale: %t", s.Age, s.Stale)
	}
	c.pass(1234 * time.Millisecond)
	if s := read(t, u, "a"); s.Age != 1234*time.Millisecond || s.Stale {
		t.Errorf("cached there: %v old, stale: %t", s.Age, s.Stale)
	}
	vault.down.Store(true)
	c.pass(10 * time.Minute)
	if s := read(t, u, "a"); s.Age != 10*time.Minute+1234*time.Millisecond || !s.Stale {
		t.Errorf("while its vault fails: %v old, stale: %t", s.Age, s.Stale)
	}
	// A header that says more counts: who stands between may have kept the answer for a while.
	r.interpose(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Age", "90")
		reply(w, 200, answer())
		return true
	})
	if s := read(t, u, "a"); s.Age != 90*time.Second {
		t.Errorf("by the header: %v old", s.Age)
	}
	r.interpose(nil)
	if _, err := u.Read(t.Context(), "b", secret.Current); !errors.Is(err, secret.ErrUnreadable) || errors.Is(err, secret.ErrNotFound) {
		t.Errorf("what is not cached there: got %v", err)
	}
}

// A secret that the region revoked is denied at once, and a principal that it revoked as well.
func TestRevocation(t *testing.T) {
	r := newRegion(t, proxytest.Options{})
	r.put(t, "a", "v")
	r.put(t, "b", "v")
	u := open(t, r.config(r.byKey()))
	read(t, u, "a")
	r.do(t, http.MethodPost, "/v1/revocations", map[string]string{"secret": "a", "reason": "leaked"})
	if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("a revoked secret: got %v", err)
	}
	read(t, u, "b")
	r.do(t, http.MethodPost, "/v1/revocations", map[string]string{"trust": "worker", "reason": "gone"})
	if _, err := u.Read(t.Context(), "b", secret.Current); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("a revoked trust rule: got %v", err)
	}
}

func TestCheckup(t *testing.T) {
	r := newRegion(t, proxytest.Options{})
	narrow := proxytest.Issuer(r.keyhole.Config)(t, map[string]string{"scope": "read:web/*", "subject": "x"})
	places := []secret.Place{{At: ""}, {At: "web"}}
	for _, row := range []struct {
		name   string
		login  keyhole.Login
		places []secret.Place
		front  func(http.ResponseWriter, *http.Request) bool
		where  string // of the first trouble; "-" for none
		words  string // in it, or in what is good
	}{
		{"well", r.byKey(), places, nil, "-", `it answers; it knows us by its trust rule "worker"; **: read, list; web/**: read, list`},
		{"a token that ends", keyhole.TokenFrom(constant(narrow)), places[1:], nil, "auth.token", "the token ends in"},
		{"a narrow scope", keyhole.TokenFrom(constant(narrow)), []secret.Place{{At: "api"}}, nil, "auth.token", "the token ends in"},
		{"no such token", keyhole.TokenFrom(constant("none")), places, nil, "auth", "does not take our token"},
		{"another audience", keyhole.Assertion(func(now time.Time) (string, error) { return r.key.Assertion("https://other.example", now) }), places, nil, "auth", "gives us no token"},
		{"no Keyhole", r.byKey(), places, always(200, "<html>"), "address", "is no Keyhole"},
		{"no place", r.byKey(), []secret.Place{{At: "arn:x"}}, nil, "", "is no path of a Keyhole"},
	} {
		r.interpose(row.front)
		got := open(t, r.config(row.login)).Checkup(t.Context(), row.places)
		if row.where == "-" {
			if strings.Join(got.Good, "; ") != row.words || len(got.Troubles) > 0 {
				t.Errorf("%s: got %+v, want %s", row.name, got, row.words)
			}
			continue
		}
		if len(got.Troubles) == 0 || got.Troubles[0].Where != row.where || !strings.Contains(got.Troubles[0].What, row.words) || got.Troubles[0].Fix == "" {
			t.Errorf("%s: got %+v, want %s at %s", row.name, got, row.words, row.where)
		}
		if row.name == "a narrow scope" && (len(got.Troubles) != 2 || got.Troubles[1].Where != "auth" || !strings.Contains(got.Troubles[1].What, "api/**")) {
			t.Errorf("%s: got %+v", row.name, got)
		}
	}
	r.interpose(nil)
	for _, call := range r.asked() {
		if strings.Contains(call, "/v1/secrets") {
			t.Errorf("a checkup reads: %s", call)
		}
	}
}
