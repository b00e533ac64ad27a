package main_test

import (
	"crypto/ed25519"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// restricted is the document with a mount whose values are never served on old knowledge.
var restricted = strings.Replace(document, `"mounts": [`, `"mounts": [
    {"path": "locked", "upstream": "sm", "at": "apps/web", "labels": {"classification": "restricted"}},`, 1)

// frozen is a function, as built but for its wall clock, that is frozen and thawed.
type frozen struct {
	*function
	*lambdaemu.Environment
	clock *proxytest.Clock
}

func newFrozen(t *testing.T, c lambdaemu.Config) *frozen {
	t.Helper()
	f := &frozen{function: newFunctionOf(t, restricted), clock: proxytest.NewClock(t)}
	f.aws.SetWall(f.clock.Now) // which takes no signature that is older than five minutes
	c.Command, c.Env = clocked, append(c.Env, f.clock.Env())
	f.Environment = f.ready(t, c)
	return f
}

// freeze stops the process, lets d pass by the wall clock, and whatever happens meanwhile.
func (f *frozen) freeze(t *testing.T, d time.Duration, meanwhile func()) {
	t.Helper()
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	f.clock.Move(t, d)
	if meanwhile != nil {
		meanwhile()
	}
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	f.token = f.fresh(t)
}

// fresh is a token of now.
func (f *frozen) fresh(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "keys", "signing.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.ParseSigningKey(text)
	if err != nil {
		t.Fatal(err)
	}
	s, err := identity.NewSigner(key, "https://keyhole.test", "https://keyhole.test")
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := policy.ParseScopes("read:**")
	if err != nil {
		t.Fatal(err)
	}
	now := f.clock.Now().Truncate(time.Second)
	token, err := s.Sign(identity.Claims{
		Subject: "script", ClientID: "test", TokenID: audit.NewID(now), Scopes: scopes, Trust: "local", OriginIssuer: "https://keyhole.test",
		IssuedAt: now, Expires: now.Add(5 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *frozen) secret(t *testing.T, path string) answered {
	t.Helper()
	return ask(t, f.Environment, f.get("/v1/secrets/"+path))
}

// down makes Secrets Manager fail as a whole.
func down(w http.ResponseWriter, _ *http.Request, _ string) bool {
	http.Error(w, "out of order", http.StatusInternalServerError)
	return true
}

// No value is served past its bound after the clock has jumped, whatever the vault does: 60 s until it is refreshed, 300 s
// until it has to be, an hour while the vault fails, and not at all then for a restricted one.
func TestThawKeepsBounds(t *testing.T) {
	const none = ""
	for name, tt := range map[string]struct {
		path  string
		jump  time.Duration
		down  bool
		value string // none: an error
		from  string
	}{
		"before the soft TTL":                  {"web/DB", 30 * time.Second, false, "first", "hit"},
		"past the soft TTL":                    {"web/DB", 90 * time.Second, false, "second", "miss"},
		"past it, without the vault":           {"web/DB", 90 * time.Second, true, "first", "hit"},
		"past the hard TTL":                    {"web/DB", 6 * time.Minute, false, "second", "miss"},
		"past it, without the vault, stale":    {"web/DB", 6 * time.Minute, true, "first", "stale"},
		"just stale":                           {"web/DB", 59 * time.Minute, true, "first", "stale"},
		"too stale":                            {"web/DB", 61 * time.Minute, true, none, none},
		"a week later":                         {"web/DB", 7 * 24 * time.Hour, false, "second", "miss"},
		"a week later, without the vault":      {"web/DB", 7 * 24 * time.Hour, true, none, none},
		"restricted, before the hard TTL":      {"locked/DB", 4 * time.Minute, true, "first", "hit"},
		"restricted, past the hard TTL":        {"locked/DB", 6 * time.Minute, true, none, none},
		"set back by an hour":                  {"web/DB", -time.Hour, false, "second", "miss"},
		"set back a little":                    {"web/DB", -2 * time.Second, false, "first", "hit"},
		"set back by an hour, without a vault": {"web/DB", -time.Hour, true, "first", "hit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFrozen(t, lambdaemu.Config{})
			f.token = f.fresh(t)
			if a := f.secret(t, tt.path); !a.is(200, `"value":"first"`) {
				t.Fatalf("got %+v", a)
			}
			f.freeze(t, tt.jump, func() {
				value := "second"
				f.aws.PutSecret(awsemu.Region, "apps/web/DB", &value, nil)
				if tt.down {
					f.aws.Interpose(down)
				}
			})
			a := f.secret(t, tt.path)
			switch {
			case tt.value == none && (a.StatusCode != 502 && a.StatusCode != 504 || strings.Contains(a.Body, "first")):
				t.Errorf("got %+v", a)
			case tt.value != none && (!a.is(200, `"value":"`+tt.value+`"`) || a.Headers["X-Keyhole-Cache"] != tt.from):
				t.Errorf("got %+v, want %q from %s", a, tt.value, tt.from)
			}
			f.aws.Interpose(nil)
			f.sealed(t, []answered{a}, 0)
		})
	}
}

// sealed ends the environment in its time and holds the log against what was answered.
func (f *frozen) sealed(t *testing.T, all []answered, crashes int) {
	t.Helper()
	if code := f.Shutdown(); code != 0 {
		t.Errorf("exit code %d: SIGTERM did not end it within its time", code)
	}
	f.recorded(t, all, crashes)
}

// recorded wants a log that is sealed, with a record of each answer, and so many instances that had no time to seal it.
func (f *function) recorded(t *testing.T, all []answered, crashes int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "keys", "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.dir, "audit", "audit.jsonl")
	report, err := audit.VerifyFiles([]string{file}, audit.VerifyOptions{PublicKey: key.Public().(ed25519.PublicKey)})
	if err != nil || !report.Sealed || report.Unsealed != crashes || report.Failures != 0 {
		t.Errorf("the log: %v, %+v; want it sealed, after %d crashes", err, report, crashes)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	known := map[string]bool{}
	if err := audit.Scan(in, func(_ []byte, r *audit.Record) error { known[r.ID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if id := a.Headers["X-Keyhole-Decision"]; id == "" || !known[id] {
			t.Errorf("decision %q was answered (%d) and has no record", id, a.StatusCode)
		}
	}
}

// A token that ended while nobody looked is refused, and so is one that begins after the clock was set back.
func TestThawEndsTokens(t *testing.T) {
	f := newFrozen(t, lambdaemu.Config{})
	old := f.fresh(t)
	f.token = old
	f.read(t, f.Environment, "web/DB", "first", "miss")
	f.freeze(t, 6*time.Minute, nil)
	f.token = old
	ended := f.secret(t, "web/DB")
	if !ended.is(401, `"token_expired"`) {
		t.Errorf("got %+v", ended)
	}
	later := f.fresh(t)
	f.freeze(t, -time.Hour, nil)
	f.token = later
	early := f.secret(t, "web/DB")
	if !early.is(401, `"token_invalid"`) {
		t.Errorf("got %+v", early)
	}
	f.sealed(t, []answered{ended, early}, 0)
}

// The connections to the vault that were cut while the process was frozen cost no request: neither those whose end it is
// told of, nor those that somebody on the way has forgotten.
func TestThawFindsConnectionsCut(t *testing.T) {
	for name, cut := range map[string][]proxytest.Fault{"Reset": {{Down: true}, {}}, "Lost": {{Lost: true}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			thawWithout(t, cut)
		})
	}
}

func thawWithout(t *testing.T, cut []proxytest.Fault) {
	t.Helper()
	f := &frozen{function: newFunctionOf(t, restricted), clock: proxytest.NewClock(t)}
	f.aws.SetWall(f.clock.Now)
	url, _ := strings.CutPrefix(f.env[0], "AWS_ENDPOINT_URL=http://")
	between := proxytest.NewFaultProxy(t, url)
	f.env[0] = "AWS_ENDPOINT_URL=http://" + between.Address
	f.Environment = f.ready(t, lambdaemu.Config{Command: clocked, Env: []string{f.clock.Env()}})
	f.token = f.fresh(t)
	var all []answered
	for range 8 {
		a := f.secret(t, "web/DB")
		if all = append(all, a); !a.is(200, `"value":"first"`) || a.Headers["X-Keyhole-Cache"] != "miss" {
			t.Errorf("got %+v", a)
		}
		f.freeze(t, 2*time.Hour, func() {
			for _, fault := range cut {
				between.Set(t, fault)
			}
		})
	}
	f.sealed(t, all, 0)
}
