package main_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// What is named is there when the first request comes, and what cannot be had keeps nothing from starting.
func TestPrefetch(t *testing.T) {
	f := newFunction(t)
	fields := `{"USER":"app","PASSWORD":"hunter2"}`
	f.aws.PutSecret(awsemu.Region, "apps/db", &fields, nil)
	f.aws.Calls()
	e := f.ready(t, lambdaemu.Config{Env: []string{"KEYHOLE_PREFETCH=web/DB, shared/KEY,env/db/USER,env/db/PASSWORD,web/NONE,nowhere/X"}})
	if calls := f.aws.Actions(); len(calls) > 4 { // of as many objects, some of which are asked for together
		t.Errorf("asked for %s", calls)
	}
	log, err := os.ReadFile(filepath.Join(f.dir, "audit", "audit.jsonl"))
	if err != nil || strings.Contains(string(log), `"kind":"access"`) {
		t.Errorf("nobody was given anything, and the log is %s (%v)", log, err)
	}
	f.read(t, e, "web/DB", "first", "hit")
	f.read(t, e, "shared/KEY", "of all", "hit")
	f.read(t, e, "env/db/USER", "app", "hit")
	f.read(t, e, "env/db/PASSWORD", "hunter2", "hit")
	if calls := f.aws.Actions(); len(calls) != 0 {
		t.Errorf("asked for %s again", calls)
	}
	f.scope(t, "read:shared/*")
	if a := ask(t, e, f.get("/v1/secrets/web/DB")); !a.is(403, `"scope_denied"`) {
		t.Errorf("got %+v", a)
	}
	e.Shutdown() // then the log is whole
	for _, path := range []string{`"web/NONE"`, `"nowhere/X"`} {
		if !strings.Contains(e.Log(), `"msg":"a secret could not be read ahead","path":`+path) {
			t.Errorf("the log does not tell of %s: %s", path, e.Log())
		}
	}
	if strings.Contains(e.Log(), "hunter2") {
		t.Error("a value is in a log")
	}
}

// A vault that is silent, or fails, delays the start a little, and the first request asks again.
func TestPrefetchFromAVaultThatDoesNotAnswer(t *testing.T) {
	// That many reads which failed would have the vault left alone for a while; reads that were cut off do not.
	names := map[string]string{"silent": "web/DB,web/a,web/b,web/c,web/d,web/e,web/f,web/g,web/h", "failing": "web/DB"}
	for name, fault := range map[string]func(context.Context, http.ResponseWriter, *http.Request) bool{
		"silent": func(ctx context.Context, _ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-ctx.Done():
			case <-r.Context().Done():
			}
			return true
		},
		"failing": func(_ context.Context, w http.ResponseWriter, r *http.Request) bool { return down(w, r, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFunction(t)
			ctx, release := context.WithCancel(context.Background())
			t.Cleanup(release)
			f.aws.Interpose(func(w http.ResponseWriter, r *http.Request, _ string) bool { return fault(ctx, w, r) })
			e := f.ready(t, lambdaemu.Config{Env: []string{"KEYHOLE_PREFETCH=" + names[name]}})
			f.aws.Interpose(nil)
			f.read(t, e, "web/DB", "first", "miss")
			e.Shutdown() // then the log is whole
			if !strings.Contains(e.Log(), `"msg":"a secret could not be read ahead","path":"web/DB"`) || !strings.Contains(e.Log(), `"cached":0`) {
				t.Errorf("the log is %s", e.Log())
			}
		})
	}
}

// A name that is none keeps nothing from starting.
func TestPrefetchOfNoName(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{Env: []string{"KEYHOLE_PREFETCH=web/../DB,web/DB"}})
	f.read(t, e, "web/DB", "first", "hit")
	e.Shutdown() // then the log is whole
	if !strings.Contains(e.Log(), `KEYHOLE_PREFETCH: name 1, \"web/../DB\"`) {
		t.Errorf("the log is %s", e.Log())
	}
}
