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
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// environment is a counting upstream that holds one object of fields at "a/DB". It takes writes of fields.
type environment struct {
	mu      sync.Mutex
	values  map[string]string // nil: there is no such object
	version int
	created time.Time
	reads   int
	fail    error
	hold    chan struct{} // where not nil, a read that has looked waits until it is closed
}

func newEnvironment(pairs ...string) *environment {
	e := &environment{values: map[string]string{}, created: time.Unix(1, 0)}
	for i := 0; i < len(pairs); i += 2 {
		e.values[pairs[i]] = pairs[i+1]
	}
	return e
}

func (e *environment) Read(ctx context.Context, name string, _ secret.Version) (*secret.Secret, error) {
	e.mu.Lock()
	e.reads++
	err, hold := e.fail, e.hold
	if err == nil && (name != "a/DB" || e.values == nil) {
		err = secret.ErrNotFound
	}
	s := &secret.Secret{Version: secret.Version(fmt.Sprint(e.version)), CreatedAt: e.created, Fields: []secret.Field{}}
	for name, value := range e.values {
		s.Fields = append(s.Fields, secret.Field{Name: name, Value: secret.NewValue([]byte(value))})
	}
	e.mu.Unlock()
	secret.SortFields(s.Fields)
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (e *environment) Write(_ context.Context, name string, w secret.Write) (secret.Version, bool, error) {
	for _, f := range w.Secret.Fields {
		e.set(f.Name, string(f.Value.Reveal()))
	}
	return "2", false, nil
}

func (e *environment) Close() error { return nil }

func (e *environment) set(name, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.values[name] = value
	e.version++
	e.created = e.created.Add(time.Second)
}

func (e *environment) breakDown(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

func (e *environment) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reads
}

// ofFields makes the harness serve the object's fields below "one/DB", and what else edits make of the mount.
func ofFields(t testing.TB, up secret.Upstream, edits ...func(*proxy.Mount)) func(*proxy.Config) {
	return mounted(t, up, append([]func(*proxy.Mount){func(m *proxy.Mount) {
		m.Layout, m.TTL = proxy.Fields, cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute, Stale: time.Hour, Negative: 10 * time.Second}
	}}, edits...)...)
}

// What an application reads of one object, be it there or not, costs its upstream one read, and the cache one entry.
func TestFieldsOfOneObjectShareOneRead(t *testing.T) {
	up := newEnvironment()
	for i := range 50 {
		up.values[fmt.Sprintf("F%02d", i)] = fmt.Sprint("value ", i)
	}
	h := newHarness(t, ofFields(t, up))
	c := h.call(t, "read:** list:**")
	up.hold = make(chan struct{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			want, fails := fmt.Sprint("value ", i), api.Code("")
			if i >= 50 {
				want, fails = "", api.NotFound
			}
			if v, code := h.read(t, c, fmt.Sprintf("one/DB/F%02d", i)); v != want || code != fails {
				t.Errorf("field %d: got %q %q, want %q %q", i, v, code, want, fails)
			}
		})
	}
	until(func() bool { return h.cache.Stats().Misses == 100 })
	close(up.hold)
	wg.Wait()
	got, err := h.batch(t, c, "one/DB/F00", "one/DB/F50", "one/DB/F49")
	if err != nil || strings.Join(got, ",") != "value 0,not_found,value 49" {
		t.Errorf("a batch: got %q %v", got, err)
	}
	if n := up.count(); n != 1 {
		t.Errorf("%d reads of the upstream, want 1", n)
	}
	if s := h.cache.Stats(); s.Entries != 1 || s.Negatives != 0 {
		t.Errorf("%d entries and %d absences, want one entry", s.Entries, s.Negatives)
	}
	h.clock.pass(2*time.Second, 2*time.Second)
	_, err = h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/DB/NONE")})
	if e := (*proxy.Error)(nil); !errors.As(err, &e) || e.Cache != "negative" || e.Age != 2*time.Second {
		t.Errorf("got %+v, want an absence that is known for 2s", e)
	}
	h.clock.pass(5*time.Minute, 5*time.Minute)
	for i := range 50 {
		h.read(t, c, fmt.Sprintf("one/DB/F%02d", i))
	}
	if n := up.count(); n != 2 {
		t.Errorf("%d reads after the hard TTL, want 2", n)
	}
}

func TestMissingObjectIsOneAbsence(t *testing.T) {
	up := newEnvironment()
	up.values = nil
	h := newHarness(t, ofFields(t, up))
	c := h.call(t, "read:**")
	for i := range 50 {
		if _, code := h.read(t, c, fmt.Sprintf("one/DB/F%d", i)); code != api.NotFound {
			t.Errorf("got %q, want not_found", code)
		}
	}
	if s := h.cache.Stats(); up.count() != 1 || s.Negatives != 1 {
		t.Errorf("%d reads and %d absences, want one of each", up.count(), s.Negatives)
	}
	up.mu.Lock()
	up.values = map[string]string{"F1": "here"}
	up.mu.Unlock()
	appendFact(t, h, state.Invalidation, "one/DB/F2")
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/DB/F1"); v != "here" {
		t.Errorf("after an invalidation below it: got %q %q", v, code)
	}
}

// I2: two mounts of one object read it each for itself, and versions do not mix.
func TestMountsOfOneObjectShareNothing(t *testing.T) {
	up := newEnvironment("user", "app")
	h := newHarness(t, func(c *proxy.Config) {
		ofFields(t, up)(c)
		other := c.Mounts[0]
		other.Path = path(t, "two")
		whole := other
		whole.Path, whole.Layout = path(t, "whole"), proxy.Objects
		c.Mounts = append(c.Mounts, other, whole)
	})
	c := h.call(t, "read:**")
	for n, read := range []proxy.ReadRequest{
		{Path: path(t, "one/DB/user")},
		{Path: path(t, "two/DB/user")},
		{Path: path(t, "whole/DB"), Field: "user"},
		{Path: path(t, "one/DB/user"), Version: "7"},
	} {
		for range 2 {
			a, err := h.Read(t.Context(), c, read)
			must(t, err)
			if string(a.Value.Reveal()) != "app" {
				t.Errorf("%+v: got %q", read, a.Value.Reveal())
			}
			a.Release()
		}
		if up.count() != n+1 {
			t.Errorf("%+v: %d reads, want %d", read, up.count(), n+1)
		}
	}
}

// I3, I4: whatever matches a path of an object ends what is held of it, also what other paths show, and nothing else does.
func TestWhatEndsAnObject(t *testing.T) {
	for subject, ends := range map[string]bool{
		"one/DB/user": true, "one/DB/other": true, "one/DB/*": true, "one/DB/u*": true, "one/**": true, "one/*/user": true, "**/user": true, "**": true,
		"one/DB": false, "one/DB/user/x": false, "one/DB/user/**": false, "one/OTHER/**": false, "one/*": false, "two/**": false, "**/DB": true,
	} {
		for _, kind := range []state.Kind{state.Invalidation, state.Revocation} {
			up := newEnvironment("user", "old", "other", "old")
			h := newHarness(t, ofFields(t, up))
			c := h.call(t, "read:**")
			h.read(t, c, "one/DB/user")
			up.breakDown(secret.ErrUnavailable)
			fact := subject
			if kind == state.Revocation {
				fact = "secret:" + subject
			}
			id := appendFact(t, h, kind, fact)
			h.clock.pass(time.Second, time.Second)
			h.read(t, c, "one/DB/user")
			if kind == state.Revocation {
				appendFact(t, h, state.Lift, id)
			}
			h.clock.pass(6*time.Minute, 6*time.Minute)
			v, code := h.read(t, c, "one/DB/user")
			if ends && code != api.UpstreamError || !ends && v != "old" {
				t.Errorf("%s %s: got %q %q; want it ended: %v", kind, subject, v, code, ends)
			}
		}
	}
}

// Where the mount is the root, or names the object itself, the object is shown nowhere, and its fields all the same.
func TestObjectOfAMountItself(t *testing.T) {
	for mount, field := range map[string]string{"": "user", "env": "env/user", "env/deep": "env/deep/user"} {
		up := newEnvironment("user", "old")
		h := newHarness(t, ofFields(t, up, func(m *proxy.Mount) {
			m.Path, m.At = secret.Path{}, "a/DB"
			if mount != "" {
				m.Path = path(t, mount)
			}
		}))
		c := h.call(t, "read:** invalidate:**")
		for _, i := range []proxy.Invalidation{{Path: path(t, field)}, {Path: path(t, strings.TrimSuffix(field, "user")+"neighbour")}} {
			h.read(t, c, field)
			up.set("user", field+fmt.Sprint(i))
			_, err := h.Invalidate(t.Context(), c, i)
			must(t, err)
			if v, code := h.read(t, c, field); v != field+fmt.Sprint(i) {
				t.Errorf("%s after the invalidation of %s: got %q %q", field, i.Path, v, code)
			}
		}
		if _, code := h.read(t, c, field+"/x"); code != api.NotFound {
			t.Errorf("below a field: got %q", code)
		}
	}
}

// What was asked of the upstream before an invalidation of one field is for nobody who comes after it, whichever field
// they ask for.
func TestOvertakenReadOfAnObject(t *testing.T) {
	up := newEnvironment("user", "old", "password", "old")
	h := newHarness(t, ofFields(t, up))
	c := h.call(t, "read:** invalidate:**")
	up.hold = make(chan struct{})
	hold := up.hold
	var wg sync.WaitGroup
	wg.Go(func() {
		if v, code := h.read(t, c, "one/DB/user"); v != "old" {
			t.Errorf("who came before: got %q %q", v, code)
		}
	})
	until(func() bool { return up.count() == 1 })
	up.set("password", "new")
	up.mu.Lock()
	up.hold = nil
	up.mu.Unlock()
	_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/DB/user")})
	must(t, err)
	for range 2 {
		if v, code := h.read(t, c, "one/DB/password"); v != "new" {
			t.Errorf("who came after: got %q %q", v, code)
		}
	}
	close(hold)
	wg.Wait()
	if v, code := h.read(t, c, "one/DB/password"); v != "new" || up.count() != 2 {
		t.Errorf("after both: got %q %q in %d reads", v, code, up.count())
	}
}

// A change of the object, through whichever mount, ends all of its fields, also where their paths are as long as can be.
func TestWriteEndsTheFields(t *testing.T) {
	up := newEnvironment("u", "old")
	long := strings.Repeat(strings.Repeat("m", 127)+"/", 3) + strings.Repeat("m", 126)
	if len(long) != 510 {
		t.Fatal(len(long))
	}
	h := newHarness(t, func(c *proxy.Config) {
		ofFields(t, up, func(m *proxy.Mount) { m.Path, m.At = path(t, long), "a/DB" })(c)
		w := c.Mounts[0]
		w.Path, w.Layout, w.At = path(t, "w"), proxy.Objects, "a"
		c.Mounts = append(c.Mounts, w)
	})
	c := h.call(t, "read:** write:**")
	if v, code := h.read(t, c, long+"/u"); v != "old" {
		t.Fatalf("got %q %q", v, code)
	}
	_, err := h.Write(t.Context(), c, path(t, "w/DB"), secret.Write{Secret: fields("u", "new")})
	must(t, err)
	if v, code := h.read(t, c, long+"/u"); v != "new" {
		t.Errorf("got %q %q, want what was written", v, code)
	}
	if _, err := h.Write(t.Context(), c, path(t, long+"/u"), secret.Write{Secret: text("x")}); codeOf(t, err) != api.MethodNotAllowed {
		t.Errorf("a write to a field: got %v", err)
	}
}

// I3: how old a value may be served is decided for each path, although the value is shared: what is restricted is never
// stale, and takes nothing from its neighbours, whoever of them is read first.
func TestStaleIsDecidedByField(t *testing.T) {
	for name, first := range map[string]string{"restricted first": "one/DB/password", "restricted last": "one/DB/user"} {
		t.Run(name, func(t *testing.T) {
			up := newEnvironment("user", "app", "password", canary)
			h := newHarness(t, func(c *proxy.Config) {
				ofFields(t, up)(c)
				c.Labels = []proxy.LabelRule{classified(t, "**/password", "restricted")}
			})
			c := h.call(t, "read:**")
			h.read(t, c, first)
			up.breakDown(secret.ErrUnavailable)
			h.clock.pass(6*time.Minute, 6*time.Minute)
			for range 3 {
				if _, code := h.read(t, c, "one/DB/password"); code != api.UpstreamError {
					t.Errorf("the restricted field: got %q, want upstream_error", code)
				}
				a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/DB/user")})
				if err != nil || a.State != "stale" || string(a.Value.Reveal()) != "app" {
					t.Fatalf("its neighbour: got %s, %v; want the value, stale", a.State, err)
				}
				a.Release()
				// An object that is not known to be good any more is no proof of what there is not.
				if _, code := h.read(t, c, "one/DB/nobody"); code != api.UpstreamError {
					t.Errorf("a field that it lacked: got %q, want upstream_error", code)
				}
				h.clock.pass(10*time.Minute, 10*time.Minute)
			}
			h.clock.pass(time.Hour, time.Hour)
			c = h.call(t, "read:**")
			if _, code := h.read(t, c, "one/DB/user"); code != api.UpstreamError {
				t.Errorf("past the stale bound: got %q", code)
			}
			up.breakDown(nil)
			for _, field := range []string{"password", "user"} {
				if _, code := h.read(t, c, "one/DB/"+field); code != "" {
					t.Errorf("%s when it is back: got %q", field, code)
				}
			}
		})
	}
}

// history is an environment that tells its versions, of which it has none.
type history struct{ *environment }

func (history) Versions(context.Context, string) ([]secret.VersionInfo, error) { return nil, nil }

// Of versions too: an object that is not known to be good any more is no proof of what there is not.
func TestVersionsOfAFieldInAnOutage(t *testing.T) {
	up := newEnvironment("user", "app")
	h := newHarness(t, ofFields(t, history{up}))
	c := h.call(t, "read:** list:**")
	h.read(t, c, "one/DB/user")
	for _, want := range []api.Code{api.NotFound, api.UpstreamError} {
		if _, err := h.Versions(t.Context(), c, path(t, "one/DB/nobody")); err == nil || codeOf(t, err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		up.breakDown(secret.ErrUnavailable)
		h.clock.pass(6*time.Minute, 6*time.Minute)
	}
}

// Many who reject a field have its object read anew once.
func TestRejectedField(t *testing.T) {
	up := newEnvironment("user", "old", "password", "old")
	h := newHarness(t, ofFields(t, up))
	c := h.call(t, "read:**")
	h.read(t, c, "one/DB/user")
	up.set("password", "new")
	h.clock.pass(2*time.Second, 2*time.Second)
	for range 10 {
		_, err := h.Report(t.Context(), c, path(t, "one/DB/password"), "0", proxy.Rejected)
		must(t, err)
	}
	until(func() bool { v, _ := h.read(t, c, "one/DB/password"); return v == "new" })
	if v, _ := h.read(t, c, "one/DB/user"); v != "old" || up.count() != 2 {
		t.Errorf("got %q in %d reads, want 2", v, up.count())
	}
}

// A large object counts once in the cache; an answer counts, and keeps in memory, the one field that it gives out.
func TestFieldsOfALargeObject(t *testing.T) {
	up := newEnvironment()
	for i := range 100 {
		up.values[fmt.Sprintf("F%02d", i)] = strings.Repeat("x", 5<<10)
	}
	b := &book{secrets: map[string]*secret.Secret{}}
	b.secrets["a/DB"], _ = up.Read(t.Context(), "a/DB", secret.Current)
	h := newHarness(t, ofFields(t, b))
	c := h.call(t, "read:**")
	var paths []secret.Path
	for i := range 100 {
		paths = append(paths, path(t, fmt.Sprintf("one/DB/F%02d", i)))
	}
	items, err := h.ReadBatch(t.Context(), c, paths)
	must(t, err)
	if s := h.cache.Stats(); s.Entries != 1 || s.Bytes > 550<<10 {
		t.Errorf("%d entries of %d bytes, want one of some 500 KiB", s.Entries, s.Bytes)
	}
	h.cache.Flush()
	if !b.wiped() {
		t.Error("answers keep the whole object in memory")
	}
	for i := range items {
		must(t, items[i].Err)
		v := items[i].Answer.Value.Reveal()
		if string(v) != strings.Repeat("x", 5<<10) {
			t.Errorf("item %d is not whole", i)
		}
		items[i].Answer.Release()
		if strings.Trim(string(v), "\x00") != "" {
			t.Errorf("item %d is still in memory", i)
		}
	}
}

// What a batch has no room for is not copied before that is known.
func TestALargeFieldAskedForManyTimes(t *testing.T) {
	up := newEnvironment("user", "app", "large", strings.Repeat("x", 500<<10))
	h := newHarness(t, ofFields(t, up))
	c := h.call(t, "read:**")
	h.read(t, c, "one/DB/user")
	paths := slices.Repeat([]secret.Path{path(t, "one/DB/large")}, proxy.MaxBatch)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	items, err := h.ReadBatch(t.Context(), c, paths)
	runtime.ReadMemStats(&after)
	must(t, err)
	given := 0
	for i := range items {
		given += items[i].Answer.Value.Len()
		items[i].Answer.Release()
	}
	if given == 0 || given > proxy.MaxBatchBytes {
		t.Errorf("a batch of %d bytes, want some, and at most %d", given, proxy.MaxBatchBytes)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2*proxy.MaxBatchBytes {
		t.Errorf("%d bytes of memory for a batch of %d", used, given)
	}
}

// A record tells of the field, not of its object. The entity tag is that of the object: it names a state of one path.
func TestRecordsOfFields(t *testing.T) {
	up := &book{secrets: map[string]*secret.Secret{"a/DB": fields("password", canary, "user", "app")}}
	h := newHarness(t, ofFields(t, uniqueBook{up}))
	c := h.call(t, "read:**")
	for field, value := range map[string]string{"password": canary, "user": "app"} {
		for range 2 {
			a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/DB/"+field)})
			must(t, err)
			a.Release()
			want := fmt.Sprintf(`"result":{"status":200,"bytes":%d,"value_mac":"%x"}`, len(value), h.log.SecretMAC(text(value)))
			if h.records(`"id":"`+a.Decision+`"`, `"path":"one/DB/`+field+`"`, want) != 1 || a.ETag != `"1"` {
				t.Errorf("%s: tag %s, and no record of %s in\n%s", field, a.ETag, want, h.sink.Text())
			}
		}
	}
	if _, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/DB/user"), Field: "user"}); err == nil || codeOf(t, err) != api.NotFound {
		t.Errorf("a field of a field: got %v, want not_found", err)
	}
	if up.reads() != 1 {
		t.Errorf("%d reads, want 1", up.reads())
	}
}

// Readers of all fields, beside rotations, invalidations and evictions, see whole values of one version each, and never one
// that an invalidation had ended before they asked.
func TestFieldsAreReadUnderChange(t *testing.T) {
	up := newEnvironment("user", "0", "password", "0")
	h := newHarness(t, func(c *proxy.Config) {
		ofFields(t, up)(c)
		c.Mounts[0].Labels = []policy.Pair{{Name: "owner", Value: "all"}}
	})
	c := h.call(t, "read:** invalidate:**")
	var told int // the last rotation that was announced
	var mu sync.Mutex
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, field := range []string{"user", "password", "user", "password"} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				least := told
				mu.Unlock()
				v, code := h.read(t, c, "one/DB/"+field)
				var n int
				if _, err := fmt.Sscan(v, &n); err != nil || n < least {
					t.Errorf("%s: got %q %q after rotation %d was announced", field, v, code, least)
					return
				}
			}
		})
	}
	for n := 1; n <= 200; n++ {
		up.mu.Lock()
		up.values["user"], up.values["password"] = fmt.Sprint(n), fmt.Sprint(n)
		up.mu.Unlock()
		if n%3 == 0 {
			h.cache.Flush()
		} else {
			_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/DB/user")})
			must(t, err)
		}
		mu.Lock()
		told = n
		mu.Unlock()
	}
	close(done)
	wg.Wait()
}

// One question about versions watches all fields of an object, and a change of any of them ends all.
func TestPollingOfFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v := withPollingEvery(t, 0, 0)
		write := func(user, password string) {
			_, _, err := v.Write(t.Context(), "a/DB", secret.Write{Secret: fields("password", password, "user", user)})
			must(t, err)
		}
		write("old", "old")
		h := newHarness(t, ofFields(t, v, func(m *proxy.Mount) { m.Poll = proxy.Poll{Interval: pollEvery, MaxPaths: 1} }))
		c := h.call(t, "read:** list:**")
		for _, field := range []string{"user", "password", "nobody"} {
			h.read(t, c, "one/DB/"+field)
		}
		n := v.count()
		polling(func() bool { return v.count() > n+5 })
		for range 5 {
			_, err := h.Versions(t.Context(), c, path(t, "one/DB/user"))
			must(t, err)
		}
		if _, err := h.Versions(t.Context(), c, path(t, "one/DB/nobody")); codeOf(t, err) != api.NotFound {
			t.Errorf("versions of a field that is not there: %v", err)
		}
		if s := h.cache.Stats(); s.Loads != 1 {
			t.Errorf("%d reads while nothing changed, want 1", s.Loads)
		}
		write("old", "new")
		polling(func() bool { got, _ := h.read(t, c, "one/DB/password"); return got == "new" })
		if v, code := h.read(t, c, "one/DB/user"); v != "old" || h.cache.Stats().Loads != 2 {
			t.Errorf("got %q %q in %d reads, want 2", v, code, h.cache.Stats().Loads)
		}
	})
}
