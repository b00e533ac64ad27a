package app_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// prefetching is a new app of the test document that reads ahead what names says.
func prefetching(t *testing.T, dir, names string, log *bytes.Buffer) (*app.App, error) {
	t.Helper()
	c, err := full.Drivers().Load(dir+"/"+devdir.ConfigFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, full.Drivers(), app.Options{Prefetch: names, Logger: slog.New(slog.NewJSONHandler(log, nil))})
	if err == nil {
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return a, err
}

func TestPrefetch(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, "")
	var log bytes.Buffer
	a, err := prefetching(t, dir, " web/production/A,web/preview/NONE , env/production/A/X,nowhere/A,web/production/A", &log)
	if err != nil {
		t.Fatal(err)
	}
	if n := a.Proxy.Stats().Cache.Loads; n != 0 {
		t.Errorf("New has read %d secrets", n)
	}
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"level":"WARN","msg":"a secret could not be read ahead","path":"web/preview/NONE","error":"`,
		`"path":"nowhere/A"`, `"msg":"secrets were read ahead","named":4,"cached":0`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %s:\n%s", want, &log)
		}
	}
}

// A name that is none is told the log, which says which, and is left out: the others are read ahead.
func TestPrefetchOfNoName(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, "")
	hundred := make([]string, 100)
	for i := range hundred {
		hundred[i] = "web/a" + strconv.Itoa(i)
	}
	for names, tt := range map[string]struct {
		named int
		want  string // in the log; "" is that no name is told of
	}{
		"":                                  {0, ""},
		" ":                                 {0, ""},
		"web/a,,":                           {1, ""},
		"web/a,web//b,web/c":                {2, `KEYHOLE_PREFETCH: name 2, \"web//b\": `},
		"web/*":                             {0, `KEYHOLE_PREFETCH: name 1, \"web/*\": `},
		"../keys,web/a":                     {1, `name 1, \"../keys\": `},
		"web/a;web/b":                       {0, `name 1, \"web/a;web/b\": `},
		"web/" + strings.Repeat("x", 999):   {0, `name 1, \"web/xxx`},
		strings.Join(hundred, ","):          {100, ""},
		strings.Join(hundred, ",") + ",a,b": {100, `KEYHOLE_PREFETCH: name 101 and those after it: at most 100 are read ahead`},
	} {
		t.Run(names[:min(len(names), 20)], func(t *testing.T) {
			var log bytes.Buffer
			a, err := prefetching(t, dir, names, &log)
			if err != nil {
				t.Fatal(err)
			}
			told := log.String()
			if !strings.Contains(told, tt.want) || strings.Contains(told, "KEYHOLE_PREFETCH") != (tt.want != "") || len(told) > 500 {
				t.Errorf("the log has %s, want %q", told, tt.want)
			}
			if err := a.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(`"named":%d,`, tt.named); strings.Contains(log.String(), want) != (tt.named > 0) {
				t.Errorf("the log has %s, want %s", &log, want)
			}
		})
	}
}

// silent is an upstream that never answers.
type silent struct{}

func (silent) Read(ctx context.Context, _ string, _ secret.Version) (*secret.Secret, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) Close() error { return nil }

// A vault that says nothing costs the start two seconds in all, whatever the number of names.
func TestPrefetchIsBounded(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, "")
	names := make([]string, 100)
	for i := range names {
		names[i] = "web/production/" + strings.Repeat("a", i+1)
	}
	drivers := full.Drivers()
	drivers.Upstreams["embedded"] = func(app.Env, config.Upstream) (secret.Upstream, error) { return silent{}, nil }
	c, err := drivers.Load(dir+"/"+devdir.ConfigFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, freezes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, err := app.New(t.Context(), c, drivers, app.Options{Prefetch: strings.Join(names, ","), Freezes: freezes})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := a.Start(t.Context()); err != nil || time.Since(began) != 2*time.Second {
				t.Errorf("it took %v, %v", time.Since(began), err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
