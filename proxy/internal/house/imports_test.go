package house_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// The levels, from the bottom. A package imports from lower levels only and, but for the last ones, never from its own.
var (
	vocabulary = []string{"proxy/secret", "proxy/policy", "proxy/api"}
	helpers    = []string{"internal/*", "proxy/internal/*"}
	mechanisms = []string{"proxy/identity", "proxy/identity/trust", "proxy/audit", "proxy/cache", "proxy/state", "wasm"}
	drivers    = []string{"proxy/audit/awssink", "proxy/state/boltstore", "proxy/upstream/*"}
	surfaces   = []string{"proxy/httpapi"}
)

// layout gives each package of the product its place: what of this module it may import. An entry that ends in "/*"
// speaks for every package below, unless a longer one does.
var layout = map[string][]string{
	"proxy/secret": nil,
	"proxy/policy": {"proxy/secret"},
	"proxy/api":    {"proxy/secret"},

	"internal/*":          nil,
	"internal/strictjson": {"internal/jsontext"},
	"proxy/internal/*":    vocabulary,

	"proxy/internal/answerbody": {"proxy/secret"},
	"proxy/internal/wire":       {"proxy/secret", "proxy/internal/answerbody"},
	"proxy/internal/awsjson":    join(vocabulary, []string{"internal/*", "proxy/internal/batch", "proxy/internal/keeper", "proxy/internal/listing", "proxy/internal/localhost", "proxy/internal/wire"}),
	"proxy/internal/jsonfields": join(vocabulary, []string{"internal/*"}),
	"proxy/internal/batch":      join(vocabulary, []string{"proxy/internal/guard"}),

	"proxy/identity":        join(vocabulary, helpers, []string{"proxy/identity/trust"}),
	"proxy/identity/trust":  join(vocabulary, helpers), // data, no network
	"proxy/audit":           join(vocabulary, helpers),
	"proxy/audit/awssink":   join(vocabulary, helpers, []string{"proxy/audit"}), // implements its Sink
	"proxy/cache":           join(vocabulary, helpers),
	"proxy/state":           join(vocabulary, helpers),
	"proxy/upstream/*":      join(vocabulary, helpers),
	"proxy/state/boltstore": join(vocabulary, helpers, []string{"proxy/state"}),                            // implements its Store
	"proxy/identity/jwks":   join(vocabulary, helpers, []string{"proxy/identity", "proxy/identity/trust"}), // implements its KeySource
	"wasm":                  join(vocabulary, helpers, []string{"wasm/internal/*"}),
	"wasm/internal/*":       {"wasm/internal/*"},
	"policies":              nil,
	"policies/*":            nil,

	"policies/internal/precompile": {"policies", "wasm"}, // a build tool

	"proxy":         join(vocabulary, helpers, mechanisms),
	"proxy/httpapi": join(vocabulary, helpers, []string{"proxy"}),

	"proxy/app/config":    join(vocabulary, helpers, []string{"proxy/identity/trust"}),
	"proxy/app/yamlconf":  join(vocabulary, helpers, []string{"proxy/app/config"}),
	"proxy/app/devdir":    join(vocabulary, helpers, []string{"proxy/app/yamlconf", "proxy/identity", "proxy/audit", "proxy/upstream/embedded"}), // makes keys and an empty vault
	"proxy/app":           join(vocabulary, helpers, mechanisms, surfaces, []string{"proxy", "policies", "proxy/app/config", "proxy/identity/jwks"}),
	"proxy/app/vaultfile": join(vocabulary, helpers, []string{"proxy/app/config", "proxy/upstream/embedded"}),
	"proxy/app/doctor":    join(vocabulary, helpers, []string{"proxy/audit", "proxy/identity", "proxy/app", "proxy/app/config", "proxy/app/devdir", "proxy/app/vaultfile", "proxy/upstream/embedded"}),
	"proxy/app/full":      join(vocabulary, helpers, mechanisms, drivers, []string{"proxy/app", "proxy/app/config", "proxy/app/vaultfile", "proxy/app/yamlconf", "proxy/app/edge"}),
	"proxy/app/edge":      join(vocabulary, helpers, mechanisms, drivers, []string{"proxy/app", "proxy/app/config"}),

	"proxy/sim": nil, // tests alone

	"client":               {"proxy/api"},
	"cmd/keyhole":          join(vocabulary, []string{"proxy/audit", "proxy/app", "proxy/app/config", "proxy/app/devdir", "proxy/app/doctor", "proxy/app/full", "proxy/app/vaultfile"}),
	"functions/internal/*": {"internal/*"},
	"functions/*":          {"functions/internal/*", "proxy/app", "proxy/app/edge"},
	"examples/*":           nil, // as their users would write them
}

// walls says for each foreign module which packages may import it. Whatever is not named here may not be imported.
var walls = map[string][]string{
	"github.com/tetratelabs/wazero":      {"wasm", "wasm/internal/*"},
	"github.com/golang-jwt/jwt/v5":       {"proxy/identity"},
	"github.com/hashicorp/golang-lru/v2": {"proxy/cache"},
	"github.com/aws/aws-lambda-go":       {"functions/*", "examples/*"},

	"github.com/aws/aws-sdk-go-v2/aws":    {"proxy/internal/awsjson", "proxy/app/full"}, // signer and credential interfaces; no service clients
	"github.com/aws/aws-sdk-go-v2/config": {"proxy/app/full"},                           // the default credential chain
	"github.com/aws/smithy-go/logging":    {"proxy/app/full"},                           // to keep the chain quiet

	"go.etcd.io/bbolt":       {"proxy/upstream/embedded", "proxy/state/boltstore"},
	"go.yaml.in/yaml/v3":     {"proxy/app/yamlconf"},
	"github.com/spf13/cobra": {"cmd/keyhole"},
	"golang.org/x/term":      {"cmd/keyhole"},
	"golang.org/x/sys":       {"cmd/keyhole", "proxy/internal/*"},
}

// testOnly are packages that would bring flags and certificates of tests into the product.
var testOnly = []string{"testing", "testing/*", "net/http/httptest", "go.uber.org/goleak", "pgregory.net/rapid"}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		own, other := s.imports()
		for _, imp := range own {
			if _, _, ok := place(imp); !ok && !forTests(imp) {
				t.Errorf("%s imports %s: give that package a level in layout", s.name, imp)
			}
			if within(imp, "bench") && !within(s.pkg, "bench") || within(imp, "cmd") {
				t.Errorf("%s imports %s, which is a program", s.name, imp)
			}
		}
		if s.test || forTests(s.pkg) {
			continue
		}
		row, may, ok := place(s.pkg)
		if !ok {
			t.Errorf("%s: give package %s a level in layout", s.name, s.pkg)
			continue
		}
		for _, imp := range own {
			if forTests(imp) || !matchAny(may, imp) {
				t.Errorf("%s imports %s: %s may import %v of this module only", s.name, imp, row, may)
			}
		}
		for _, imp := range other {
			checkForeign(t, s, imp)
		}
	}
}

func checkForeign(t *testing.T, s *source, imp string) {
	t.Helper()
	switch first, _, _ := strings.Cut(imp, "/"); {
	case imp == "C":
		t.Errorf("%s uses cgo: the product is built without a C compiler", s.name)
	case matchAny(testOnly, imp):
		t.Errorf("%s imports %s, which is for tests", s.name, imp)
	case !strings.Contains(first, "."): // the standard library
	default:
		for mod, who := range walls {
			if within(imp, mod) {
				if !matchAny(who, s.pkg) {
					t.Errorf("%s imports %s: only %v may", s.name, imp, who)
				}
				return
			}
		}
		t.Errorf("%s imports %s: give that module a place in walls", s.name, imp)
	}
}

// The table itself is free of cycles: following it down from any package ends.
func TestLayoutIsADAG(t *testing.T) {
	var visit func(pkg string, trail []string)
	visit = func(pkg string, trail []string) {
		if slices.Contains(trail, pkg) {
			t.Fatalf("cycle: %s", strings.Join(append(trail, pkg), " -> "))
		}
		for _, may := range layout[pkg] {
			if may != pkg { // siblings below one "/*" are left to the compiler
				for _, key := range slices.Sorted(maps.Keys(layout)) {
					if key != pkg && matches(may, key) {
						visit(key, append(slices.Clone(trail), pkg))
					}
				}
			}
		}
	}
	for pkg := range layout {
		visit(pkg, nil)
	}
}

// place finds the row of layout that speaks for pkg: the row itself, or the longest one with a star.
func place(pkg string) (row string, may []string, ok bool) {
	if may, ok := layout[pkg]; ok {
		return pkg, may, true
	}
	for dir := pkg; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if may, ok := layout[path.Dir(dir)+"/*"]; ok {
			return path.Dir(dir) + "/*", may, true
		}
	}
	return "", nil, false
}

func matchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// matches takes "dir/*" for whatever is below dir.
func matches(pattern, pkg string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(pkg, dir+"/")
	}
	return pattern == pkg
}

func join(lists ...[]string) []string { return slices.Concat(lists...) }
