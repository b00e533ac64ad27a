package wasm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/wasm"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

const (
	guestDir   = "testdata/guests"
	hostileDir = "testdata/hostile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBinariesMatchTheirText(t *testing.T) {
	wattest.Check(t, guestDir)
	wattest.Check(t, hostileDir)
}

// custom appends a custom section.
func custom(module []byte, name, data string) []byte {
	content := string(rune(len(name))) + name + data
	size := len(content)
	head := []byte{0, byte(size&0x7f | 0x80), byte(size>>7&0x7f | 0x80), byte(size >> 14)}
	return append(append(append([]byte{}, module...), head...), content...)
}

// guest is a module of testdata with a manifest. Members override the defaults, as in `"fuel":5`.
func guest(t testing.TB, name string, members ...string) wasm.Module {
	t.Helper()
	code, ok := wattest.Load(t, guestDir)[name]
	if !ok {
		t.Fatalf("no guest %q", name)
	}
	return withManifest(code, name, members...)
}

func withManifest(code []byte, name string, members ...string) wasm.Module {
	all := []string{
		`"abi":1`, `"kind":"native"`, `"encoding":"flat1"`, `"inputs":["action","secret.path"]`,
		fmt.Sprintf(`"name":%q`, strings.ReplaceAll(name, "/", "-")),
	}
next:
	for _, m := range members {
		key, _, _ := strings.Cut(m, ":")
		for i := range all {
			if strings.HasPrefix(all[i], key+":") {
				all[i] = m
				continue next
			}
		}
		all = append(all, m)
	}
	return wasm.Module{Wasm: custom(code, "keyhole.policy", "{"+strings.Join(all, ",")+"}")}
}

// word is a policy that always gives this result word and detail.
func word(t testing.TB, name string, w uint64, detail string) wasm.Module {
	m := guest(t, "word", fmt.Sprintf(`"name":%q`, name), `"rules":{"7":"seven"}`)
	if detail == "" {
		detail = "null"
	}
	m.Data = fmt.Appendf(nil, "[%d,%s]", w, detail)
	return m
}

func load(t testing.TB, cfg wasm.Config) *wasm.Chain {
	t.Helper()
	c, err := wasm.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func chain(t testing.TB, modules ...wasm.Module) *wasm.Chain {
	t.Helper()
	return load(t, wasm.Config{Modules: modules})
}

func path(t testing.TB, s string) secret.Path {
	t.Helper()
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func scopes(t testing.TB, s string) policy.Scopes {
	t.Helper()
	out, err := policy.ParseScopes(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func request(t testing.TB) *policy.Request {
	t.Helper()
	return &policy.Request{
		Action: policy.Read, Path: path(t, "web/production/STRIPE_KEY"), Mount: "web/production", Version: "v3",
		Labels: []policy.Pair{{Name: "classification", Value: "restricted"}, {Name: "team", Value: "pay"}},
		Principal: &policy.Principal{
			Trust: "vercel-web", Issuer: "https://oidc.example", Subject: "owner:acme",
			Scopes:          scopes(t, "read:web/production/* list:web/**"),
			Claims:          []policy.Pair{{Name: "environment", Value: "production"}, {Name: "project_id", Value: "prj_1"}},
			Expires:         time.Unix(1763722800, 0),
			AuthenticatedBy: "oidc",
		},
		Context: policy.Context{
			Time: time.UnixMilli(1763719200123), Region: "eu-west-1", SourceIP: "203.0.113.7", Surface: "native",
			UserAgent: "curl/8", Deployment: "dpl_1", Anomaly: 42,
		},
	}
}
