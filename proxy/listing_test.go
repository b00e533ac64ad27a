package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// list returns the paths of one page, or the code of the error.
func (h *harness) list(t testing.TB, c *proxy.Call, r proxy.ListRequest) (paths []string, code api.Code) {
	t.Helper()
	if r.Limit == 0 {
		r.Limit = 100
	}
	out, err := h.List(t.Context(), c, r)
	if err != nil {
		if len(out.Items) > 0 || out.Next != "" {
			t.Errorf("an error came with the listing %+v", out)
		}
		return nil, codeOf(t, err)
	}
	for _, it := range out.Items {
		paths = append(paths, it.Path.String())
	}
	return paths, ""
}

// shelved is an upstream with three secrets and one that was deleted after it was listed.
func shelved() *book {
	return &book{
		names: []string{"a/DB", "a/GONE", "a/KEY", "a/web/DB"},
		secrets: map[string]*secret.Secret{
			"a/DB": fields("password", canary, "user", canary), "a/KEY": fields("value", canary), "a/web/DB": fields("user", canary),
		},
	}
}

// A listing, and the question who one is, are refused as a read is: revoked, blind, or without a record.
func TestListAndWhoamiAreRefused(t *testing.T) {
	for name, row := range map[string]struct {
		arrange func(*harness)
		want    api.Code
	}{
		"revoked": {func(h *harness) {
			appendFact(t, h, state.Revocation, "subject:app")
			h.clock.pass(time.Second, time.Second)
		}, api.Revoked},
		"blind": {func(h *harness) {
			h.store.fail.Store(true)
			h.clock.pass(time.Minute, time.Minute)
		}, api.StateUnavailable},
	} {
		h := newHarness(t, mounted(t, shelved()))
		c := h.call(t, "list:**")
		row.arrange(h)
		if got, code := h.list(t, c, proxy.ListRequest{}); code != row.want {
			t.Errorf("%s: list: got %v %q, want %q", name, got, code, row.want)
		}
		pr, err := h.Whoami(t.Context(), c)
		if pr != nil || err == nil || codeOf(t, err) != row.want {
			t.Errorf("%s: whoami: got %v %v, want %q", name, pr, err, row.want)
		}
		for _, action := range []string{"list", "authenticate"} {
			if n := h.records(`"action":"`+action+`"`, `"code":"`+string(row.want)+`"`); n != 1 {
				t.Errorf("%s: got %d records of %s, want 1", name, n, action)
			}
		}
	}
	h := newHarness(t, mounted(t, shelved()))
	h.sink.Fail(errors.New("disk full"), 0)
	if got, code := h.list(t, h.call(t, "list:**"), proxy.ListRequest{}); code != api.AuditUnavailable {
		t.Errorf("without a record: got %v %q, want audit_unavailable", got, code)
	}
}

// The record of a listing says who decided and what came of it.
func TestRecordsOfListings(t *testing.T) {
	up := shelved()
	h := newHarness(t, func(c *proxy.Config) {
		mounted(t, up)(c)
		c.Labels = []proxy.LabelRule{classified(t, "one/KEY", "public")}
	})
	c := h.call(t, "list:one/*")
	out, err := h.List(t.Context(), c, proxy.ListRequest{Prefix: path(t, "one"), Limit: 100})
	must(t, err)
	want := `"resource":{"path":"one"},"decision":{"effect":"allow","policy_digest":"` + h.judge.Digest() + `"},"result":{"status":200,"examined":4,"returned":3}`
	if n := h.records(`"action":"list"`, `"id":"`+out.Decision+`"`, want); n != 1 {
		t.Errorf("got no record of %s in\n%s", want, h.sink.Text())
	}
	// The policy sees each path as a read of it would show it.
	if got := h.judge.last.Load(); got.Path != path(t, "one/KEY") || got.Mount != "one" || !slices.Equal(got.Labels, []policy.Pair{{Name: "classification", Value: "public"}}) {
		t.Errorf("the policy was asked %+v", got)
	}
	for _, row := range []struct {
		fail error
		want api.Code
	}{{secret.ErrThrottled, api.UpstreamError}, {secret.ErrTimeout, api.UpstreamTimeout}, {errors.New("what is this"), api.UpstreamError}} {
		up.fail = row.fail
		if got, code := h.list(t, c, proxy.ListRequest{}); code != row.want {
			t.Errorf("%v: got %v %q, want %q", row.fail, got, code, row.want)
		}
	}
	if n := h.records(`"action":"list"`, `"code":"upstream_error"`); n != 2 {
		t.Errorf("got %d records of upstream_error, want 2", n)
	}
}

// A secret that is revoked is not listed.
func TestRevokedSecretsAreNotListed(t *testing.T) {
	h := newHarness(t, mounted(t, shelved()))
	c := h.call(t, "list:**")
	appendFact(t, h, state.Revocation, "secret:one/web/*")
	h.clock.pass(time.Second, time.Second)
	if got, code := h.list(t, c, proxy.ListRequest{}); !slices.Equal(got, []string{"one/DB", "one/GONE", "one/KEY"}) {
		t.Errorf("got %q %q", got, code)
	}
}

// The strictest mount that a prefix reaches says how fresh a listing is.
func TestListingsAreAsFreshAsTheStrictestMount(t *testing.T) {
	for prefix, want := range map[string]api.Code{
		"": api.Revoked, "strict": api.Revoked, "strict/web": api.Revoked, "bounded": "", "stric": "",
	} {
		h := newHarness(t, func(c *proxy.Config) {
			ttl := cache.TTL{Soft: 1e9, Hard: 300e9}
			c.Mounts = []proxy.Mount{
				{Path: path(t, "bounded"), Upstream: shelved(), UpstreamName: "v", At: "a", TTL: ttl},
				{Path: path(t, "strict"), Upstream: shelved(), UpstreamName: "v", At: "a", TTL: ttl, Freshness: proxy.Strict},
			}
		})
		c := h.call(t, "list:**")
		appendFact(t, h, state.Revocation, "subject:app")
		var r proxy.ListRequest
		if prefix != "" {
			r.Prefix = path(t, prefix)
		}
		if got, code := h.list(t, c, r); code != want {
			t.Errorf("%q: got %v %q, want %q", prefix, got, code, want)
		}
	}
}

// A mount of fields lists the fields of its objects, below the prefix, from the cursor on, and keeps no value.
func TestListingFields(t *testing.T) {
	all := []string{"one/DB/password", "one/DB/user", "one/KEY/value", "one/web/DB/user"}
	for _, row := range []struct {
		scope, prefix, after string
		want                 []string
		reads                int
	}{
		{"list:**", "", "", all, 3},
		{"list:**", "one", "", all, 3},
		{"list:**", "one/DB", "", all[:2], 1},
		{"list:**", "one/DB/user", "", all[1:2], 1},
		{"list:**", "one/web", "", all[3:], 1},
		{"list:**", "two", "", nil, 0},
		{"list:**", "", "one/DB/password", all[1:], 3},
		{"list:**", "", "one/DB/user", all[2:], 3},
		{"list:**", "", "one/KEY/value", all[3:], 2},
		{"list:one/web/**", "", "", all[3:], 1},
		{"list:one/*/user", "", "", all[1:2], 2},
	} {
		up := shelved()
		h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Layout = proxy.Fields }))
		r := proxy.ListRequest{After: row.after}
		if row.prefix != "" {
			r.Prefix = path(t, row.prefix)
		}
		got, code := h.list(t, h.call(t, row.scope), r)
		if code != "" || !slices.Equal(got, row.want) {
			t.Errorf("%s, prefix %q after %q: got %q %q, want %q", row.scope, row.prefix, row.after, got, code, row.want)
		}
		if up.reads() > row.reads || up.reads() > 0 && !up.wiped() {
			t.Errorf("%s, prefix %q after %q: %d objects were read, want at most %d, and all wiped", row.scope, row.prefix, row.after, up.reads(), row.reads)
		}
	}
}

// A listing of fields reads so many objects and no more.
func TestListingFieldsOfTooManyObjects(t *testing.T) {
	up := &book{secrets: map[string]*secret.Secret{}}
	for i := range 501 {
		name := fmt.Sprintf("a/%c/K%03d", 'a'+rune(i/500), i)
		up.names, up.secrets[name] = append(up.names, name), fields("f", canary)
	}
	h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Layout = proxy.Fields }))
	c := h.call(t, "list:**")
	if got, code := h.list(t, c, proxy.ListRequest{}); code != api.InvalidRequest {
		t.Errorf("501 objects: got %d paths and %q, want invalid_request", len(got), code)
	}
	if !up.wiped() {
		t.Error("what was read for nothing is still in memory")
	}
	if got, code := h.list(t, c, proxy.ListRequest{Prefix: path(t, "one/a"), Limit: 500}); code != "" || len(got) != 500 {
		t.Errorf("500 objects: got %d paths and %q, want 500", len(got), code)
	}
	up.fail = errors.New("what is this")
	if got, code := h.list(t, c, proxy.ListRequest{}); code != api.UpstreamError {
		t.Errorf("a list that fails: got %d paths and %q, want upstream_error", len(got), code)
	}
	if strings.Contains(h.sink.Text(), canary) {
		t.Error("a record holds a value")
	}
}

// A mount that no list scope reaches into is not asked: its failure would be told, and be the caller's.
func TestListingAsksOnlyMountsInScope(t *testing.T) {
	mine, other := &shelf{names: []string{"KEY"}}, &brokenShelf{}
	ttl := cache.TTL{Soft: 1, Hard: 1}
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts = []proxy.Mount{
			{Path: path(t, "mine"), Upstream: mine, UpstreamName: "a", TTL: ttl},
			{Path: path(t, "other"), Upstream: other, UpstreamName: "b", TTL: ttl},
		}
	})
	got, err := h.List(t.Context(), h.call(t, "list:mine/*"), proxy.ListRequest{Limit: 10})
	if err != nil || len(got.Items) != 1 {
		t.Errorf("got %v, %v, want the one path in scope", got.Items, err)
	}
	if _, err := h.List(t.Context(), h.call(t, "list:**"), proxy.ListRequest{Limit: 10}); codeOf(t, err) != api.UpstreamError {
		t.Errorf("with a scope for it: got %v", err)
	}
}

// brokenShelf is an upstream whose listings fail.
type brokenShelf struct{ vault }

func (*brokenShelf) List(context.Context, string, string, int) ([]secret.Item, error) {
	return nil, secret.ErrUnavailable
}

// silent is an upstream that does not answer a listing.
type silent struct{ *vault }

func (silent) List(ctx context.Context, _, _ string, _ int) ([]secret.Item, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A listing does not wait for ever where the caller does.
func TestListOfASilentUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *proxy.Config) {
			for i := range c.Mounts {
				c.Mounts[i].Upstream = silent{&vault{}}
			}
		})
		_, err := h.List(context.Background(), h.call(t, "list:**"), proxy.ListRequest{Limit: 10})
		if got := codeOf(t, err); got != api.UpstreamTimeout {
			t.Errorf("got %q, want upstream_timeout", got)
		}
	})
}

// slow is a shelf of one object that takes three seconds to read.
type slow struct{ book }

func (s *slow) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	select {
	case <-time.After(3 * time.Second):
		return s.book.Read(ctx, name, v)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Who lists more than there is time for takes nothing from those who read.
func TestListingThatTakesTooLongIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &slow{book{secrets: map[string]*secret.Secret{}}}
		for i := range 4 {
			name := fmt.Sprintf("a/ENV%d", i)
			up.names = append(up.names, name)
			up.secrets[name] = text(`{"KEY":"` + canary + `"}`)
		}
		h := newHarness(t, mounted(t, up, func(m *proxy.Mount) {
			g, err := guard.New(guard.Config{Failures: 1})
			must(t, err)
			m.Layout, m.Guard = proxy.Fields, g
		}))
		c := h.call(t, "read:one/** list:one/**")
		if _, code := h.list(t, c, proxy.ListRequest{}); code != api.UpstreamTimeout {
			t.Errorf("a listing of 12s: got %q, want upstream_timeout", code)
		}
		if v, code := h.read(t, c, "one/ENV0/KEY"); v != canary {
			t.Errorf("afterwards a read: got %q", code)
		}
	})
}

// A scope for a few secrets among many others shows them on the first page, and only they are looked at.
func TestListLooksWhereAScopeCanMatch(t *testing.T) {
	up := &book{}
	for i := range 10_000 {
		up.names = append(up.names, fmt.Sprintf("web/production/a%05d", i))
	}
	up.names = append(up.names, "web/production/x", "web/production/x/DB", "web/production/x/KEY", "web/production/x-other")
	slices.Sort(up.names)
	h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Path, m.At = path(t, "web"), "web" }))
	for i, prefix := range []secret.Path{{}, path(t, "web"), path(t, "web/production")} {
		r := proxy.ListRequest{Prefix: prefix, Limit: 500}
		out, err := h.List(t.Context(), h.call(t, "list:web/production/x/**"), r)
		must(t, err)
		if len(out.Items) != 2 || out.Items[0].Path.String() != "web/production/x/DB" || out.Next != "" {
			t.Errorf("prefix %q: got %+v, next %q", prefix, out.Items, out.Next)
		}
		// The prefix is the one that was asked for; what lies beside the scope is not looked at.
		if n := h.records(`"action":"list"`, `"returned":2`, `"examined":3`); n != i+1 {
			t.Errorf("prefix %q: %d records of 3 examined and 2 returned, want %d", prefix, n, i+1)
		}
		if n := h.records(`"path":"` + prefix.String() + `"`); n != 1 && !prefix.IsZero() {
			t.Errorf("prefix %q: %d records of it, want 1", prefix, n)
		}
	}
}
