package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// What cannot be written is refused before the intent is recorded and the upstream is asked.
func TestWhatCannotBeWritten(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		m := c.Mounts[0]
		m.Path, m.Layout = path(t, "fields"), proxy.Fields
		readOnly := c.Mounts[0]
		readOnly.Path, readOnly.Upstream, readOnly.UpstreamName = path(t, "book"), &book{}, "b"
		root := c.Mounts[0]
		root.Path, root.At = path(t, "all"), ""
		c.Mounts = append(c.Mounts, m, readOnly, root)
	})
	c := h.call(t, "write:**")
	unsorted := fields("b", "1", "a", "2")
	big := text(strings.Repeat("x", secret.MaxValueBytes+1))
	for _, row := range []struct {
		path string
		s    *secret.Secret
		want api.Code
	}{
		{"fields/DB/password", text("new"), api.MethodNotAllowed},
		{"book/KEY", text("new"), api.MethodNotAllowed},
		{"no/mount", text("new"), api.NotFound},
		{"all", text("new"), api.NotFound},
		{"one/KEY", unsorted, api.InvalidRequest},
		{"one/KEY", big, api.TooLarge},
	} {
		_, err := h.Write(t.Context(), c, path(t, row.path), secret.Write{Secret: row.s})
		if err == nil || codeOf(t, err) != row.want {
			t.Errorf("%s: got %v, want %s", row.path, err, row.want)
		}
	}
	if h.vault.version != 0 || h.records(`"kind":"intent"`) != 0 {
		t.Errorf("got %d writes and %d intents, want none", h.vault.version, h.records(`"kind":"intent"`))
	}
}

// A change is two records: what was decided, and what came of it.
func TestRecordsOfAChange(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "write:one/*")
	for _, row := range []struct {
		path    string
		created bool
		status  int
	}{{"one/NEW", true, 201}, {"one/NEW", false, 200}} {
		done, err := h.Write(t.Context(), c, path(t, row.path), secret.Write{Secret: text("value")})
		must(t, err)
		if done.Version != "2" || done.Created != row.created || done.Path != path(t, row.path) {
			t.Errorf("got %+v", done)
		}
		if n := h.records(`"kind":"intent"`, `"id":"`+done.Decision+`"`, `"effect":"allow"`); n != 1 {
			t.Errorf("got %d intents, want 1", n)
		}
		result := fmt.Sprintf(`"result":{"status":%d,"value_mac":"%x"}`, row.status, h.log.SecretMAC(text("value")))
		if n := h.records(`"kind":"outcome"`, `"pair":"`+done.Decision+`"`, `"version":"2"`, result); n != 1 {
			t.Errorf("got %d outcomes with %s, want 1:\n%s", n, result, h.sink.Text())
		}
	}
}

// Once its intent is on record, a change goes on without the caller.
func TestACallerWhoHangsUpStopsNoChange(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "write:one/*")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entered, leave := h.sink.hold()
	result := make(chan error, 1)
	go func() {
		_, err := h.Write(ctx, c, path(t, "one/KEY"), secret.Write{Secret: text("new")})
		result <- err
	}()
	<-entered
	cancel()
	close(leave)
	if err := <-result; err != nil {
		t.Errorf("got %v, want the change made", err)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if h.vault.secrets["a/KEY"] != "new" || len(facts) != 2 || h.records(`"kind":"outcome"`, `"status":200`) != 1 {
		t.Errorf("got value %q, facts %v, records\n%s", h.vault.secrets["a/KEY"], facts, h.sink.Text())
	}
}

// An announcement lasts as long as anybody could serve what it drops.
func TestHowLongAnnouncementsLast(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts = append(c.Mounts, proxy.Mount{
			Path: path(t, "slow"), Upstream: &book{}, UpstreamName: "b", TTL: cache.TTL{Soft: time.Minute, Hard: time.Hour},
		})
	})
	must(t, write(t, h, h.call(t, "write:one/*"), "one/KEY", "new"))
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	// The longest hard TTL, max_blind, and what clocks may differ by.
	if want := h.clock.Wall().Add(time.Hour + 30*time.Second + 5*time.Minute); len(facts) != 2 || !facts[0].ExpiresAt.Equal(want) {
		t.Errorf("got %+v, want two until %v", facts, want)
	}
}

// Two mounts may show an object under one path, of which one takes it: that is one fact. A mount that shows the object
// as itself, without a path, has none.
func TestAnnouncementsHaveNoDuplicates(t *testing.T) {
	ttl := cache.TTL{Soft: 1e9, Hard: 300e9}
	h := newHarness(t, func(c *proxy.Config) {
		v := c.Mounts[0].Upstream.(*vault)
		v.pending = []secret.Change{{ID: 7, Name: "a/b/KEY"}, {ID: 8, Name: "top"}}
		c.Mounts = []proxy.Mount{
			{Upstream: v, UpstreamName: "v", TTL: ttl},
			{Path: path(t, "a"), Upstream: v, UpstreamName: "v", At: "a", TTL: ttl},
		}
	})
	if got := subjects(t, h); !slices.Equal(got, []string{"a/b/KEY", "top"}) {
		t.Errorf("got facts %q", got)
	}
	h = newHarness(t, func(c *proxy.Config) {
		v := c.Mounts[0].Upstream.(*vault)
		v.pending = []secret.Change{{ID: 7, Name: "top"}}
		c.Mounts = []proxy.Mount{{Upstream: v, UpstreamName: "v", At: "top", TTL: ttl}}
	})
	if got := subjects(t, h); len(got) != 0 {
		t.Errorf("got facts %q of an object that has no path, want none", got)
	}
}

func subjects(t *testing.T, h *harness) (out []string) {
	t.Helper()
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	for _, f := range facts {
		out = append(out, f.Subject)
	}
	return out
}

// An upstream that remembers nothing of its writes has them announced at once, or the caller told.
func TestAnnouncementsWithoutAnOutbox(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		v := c.Mounts[0].Upstream.(*vault)
		for i := range c.Mounts {
			c.Mounts[i].Upstream = plain{v, v}
		}
	})
	c := h.call(t, "write:one/* read:two/*")
	must(t, write(t, h, c, "one/KEY", "new"))
	if got := subjects(t, h); !slices.Equal(got, []string{"one/KEY", "two/KEY"}) {
		t.Errorf("got facts %q", got)
	}
	h.read(t, c, "two/KEY")
	h.store.fail.Store(true)
	if err := write(t, h, c, "one/KEY", "newer"); err == nil || codeOf(t, err) != api.StateUnavailable {
		t.Errorf("got %v, want state_unavailable", err)
	}
	if v, _ := h.read(t, c, "two/KEY"); v != "newer" {
		t.Errorf("got %q here, want the value that was written", v)
	}
}

// What could not be announced is announced by a request of anybody, at most a check interval after the store is back.
func TestLateAnnouncements(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** write:**")
	h.store.fail.Store(true)
	if err := write(t, h, c, "one/KEY", "new"); err == nil {
		t.Fatal("acknowledged although nobody was told")
	}
	for range 2 { // one try that fails is not the last
		if _, code := h.read(t, c, "two/KEY"); code != "" {
			t.Errorf("a read while the store fails: got %q", code)
		}
	}
	h.store.fail.Store(false)
	h.clock.pass(time.Second, time.Second)
	h.read(t, c, "two/KEY")
	if got := subjects(t, h); !slices.Equal(got, []string{"one/KEY", "two/KEY"}) || len(h.vault.pending) != 0 {
		t.Errorf("got facts %q and %d pending", got, len(h.vault.pending))
	}
}

// yielding lets others run before each fact, so that what may overlap does.
type yielding struct{ *store }

func (y yielding) Append(ctx context.Context, f state.Fact) (uint64, error) {
	for range 10 {
		runtime.Gosched()
	}
	return y.store.Append(ctx, f)
}

// Many writes at once are announced once each.
func TestWritesAtOnceAreAnnouncedOnce(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.State = yielding{c.State.(*store)} })
	c := h.call(t, "write:one/*")
	var wg sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		wg.Go(func() {
			_, err := h.Write(t.Context(), c, path(t, fmt.Sprintf("one/K%d", i)), secret.Write{Secret: text("x")})
			errs[i] = err
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	if got, want := len(subjects(t, h)), 2*len(errs); got != want || len(h.vault.pending) != 0 {
		t.Errorf("got %d facts and %d pending, want %d and none", got, len(h.vault.pending), want)
	}
}
