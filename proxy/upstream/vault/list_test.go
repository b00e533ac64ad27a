package vault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

// folders answers listings of version 1 from a map of folders; what is not in it does not exist.
func folders(tree map[string][]string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		keys, ok := tree[strings.TrimPrefix(r.URL.Path, "/v1/kv/")]
		if !ok || r.URL.RawQuery != "list=true" {
			reply(w, 404, `{"errors":[]}`)
			return true
		}
		text, _ := json.Marshal(keys)
		reply(w, 200, `{"lease_id":"","data":{"keys":`+string(text)+`}}`)
		return true
	}
}

func list(t *testing.T, u secret.Upstream, prefix, after string, limit int) ([]string, error) {
	t.Helper()
	items, err := u.(secret.Lister).List(t.Context(), prefix, after, limit)
	var names []string
	for _, it := range items {
		names = append(names, it.Name)
	}
	return names, err
}

// Names that nobody can read here are left out, and folders that cannot hold what is asked for are not looked into.
func TestListLooksWhereItMust(t *testing.T) {
	u, e := scripted(t, 1, folders(map[string][]string{
		"":         {"b/", "a", "z/", "a b", "é", "..", "../", "x?y/", "%2e/", strings.Repeat("l", 129), "a", "b", "m/"},
		"b/":       {"one", "deep/"},
		"b/deep/":  {"two"},
		"m/":       {"three"},
		"z/":       {"four"},
		"../":      {"escaped"},
		"x?y/":     {"escaped"},
		"b/a/gone": {},
	}))
	for _, tt := range []struct {
		prefix, after string
		limit         int
		want, folders string
	}{
		{"", "", 100, "a b b/deep/two b/one m/three z/four", " b/ b/deep/ m/ z/"},
		{"", "b/one", 100, "m/three z/four", " b/ m/ z/"},
		{"", "b/p", 1, "m/three", " b/ m/"},
		{"", "", 2, "a b", ""},
		{"", "", 3, "a b b/deep/two", " b/ b/deep/"},
		{"b", "b/deep/two", 100, "b/one", "b/ b/deep/"},
		{"b", "zzz", 100, "", ""},
		{"none", "", 100, "", "none/"},
		{"", "", 0, "", ""},
	} {
		e.asked()
		got, err := list(t, u, tt.prefix, tt.after, tt.limit)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("under %q after %q at most %d: got %q (%v), want %s", tt.prefix, tt.after, tt.limit, got, err, tt.want)
		}
		var looked []string
		for _, call := range e.asked() {
			if folder, ok := strings.CutSuffix(strings.TrimPrefix(call, "GET kv/"), "?list=true"); ok {
				looked = append(looked, folder)
			}
		}
		if got := strings.Join(looked, " "); got != tt.folders {
			t.Errorf("under %q after %q at most %d: looked into %q, want %q", tt.prefix, tt.after, tt.limit, got, tt.folders)
		}
	}
}

// A listing of more folders than one may ask for fails, rather than end early.
func TestListIsBounded(t *testing.T) {
	tree := map[string][]string{}
	for i := range 1200 {
		tree[""] = append(tree[""], fmt.Sprintf("f%04d/", i))
		tree[fmt.Sprintf("f%04d/", i)] = []string{"x"}
	}
	u, e := scripted(t, 1, folders(tree))
	if got, err := list(t, u, "", "", 500); err != nil || len(got) != 500 || !slices.IsSorted(got) {
		t.Errorf("got %d names (%v), want 500 in order", len(got), err)
	}
	e.asked()
	_, err := list(t, u, "", "", 2000)
	wantKind(t, "listing too much", err, secret.ErrUnsupported)
	if got := len(e.asked()); got > 1000 {
		t.Errorf("it took %d requests, at most 1000 are allowed", got)
	}
	if _, err := list(t, u, "../sys", "", 10); !errors.Is(err, secret.ErrInvalidPath) {
		t.Errorf("listing what is no path: %v", err)
	}
}

func TestBadListings(t *testing.T) {
	for _, body := range []string{`{"data":{}}`, `{"data":{"keys":"a"}}`, `{"data":{"keys":[1]}}`, `{"data":null}`, `<html>`} {
		u, _ := scripted(t, 1, always(200, body))
		_, err := list(t, u, "", "", 10)
		wantKind(t, body, err, vault.ErrMalformed)
	}
}
