package proxy_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func limited(l proxy.Limits) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Limits = l }
}

func TestSourcesAreLimited(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{PerSource: 2}))
	c := h.call(t, "read:**")
	want := func(from string, want api.Code) {
		t.Helper()
		c := *c
		c.SourceIP = from
		if _, code := h.read(t, &c, "one/KEY"); code != want {
			t.Errorf("from %s: got %q, want %q", from, code, want)
		}
	}
	want("192.0.2.1", "")
	want("192.0.2.1", "")
	asked := h.judge.calls.Load()
	want("192.0.2.1", api.RateLimited)
	if h.judge.calls.Load() != asked {
		t.Error("the policy was asked for a request over the limit")
	}
	want("::ffff:192.0.2.1", api.RateLimited) // the same address, written otherwise
	want("192.0.2.2", "")
	for _, from := range []string{"2001:db8::1", "2001:db8::2"} {
		want(from, "")
	}
	want("2001:db8::3", api.RateLimited) // one network
	want("2001:db8:0:1::3", "")
	h.clock.pass(500*time.Millisecond, 500*time.Millisecond)
	want("192.0.2.1", "")
	want("192.0.2.1", api.RateLimited)
	if n := h.records(`"status":429`, `"code":"rate_limited"`, `"source_ip":"192.0.2.1"`); n != 2 {
		t.Errorf("%d refusals are recorded, want 2", n)
	}
}

// The source is limited before its token is looked at, the principal after.
func TestLimitsStandAroundTheToken(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{PerSource: 3, PerPrincipal: 1}))
	guess := &proxy.Call{Token: "guess", Surface: "test", SourceIP: "192.0.2.9"}
	for i, want := range []api.Code{api.TokenInvalid, api.TokenInvalid, api.TokenInvalid, api.RateLimited} {
		if _, code := h.read(t, guess, "one/KEY"); code != want {
			t.Errorf("guess %d: got %q, want %q", i+1, code, want)
		}
	}
	first, other := h.call(t, "read:**"), h.call(t, "list:**", func(c *identity.Claims) { c.Subject = "other" })
	again := h.call(t, "read:one/*") // another token of the first principal
	again.SourceIP, other.SourceIP = "192.0.2.2", "192.0.2.3"
	for _, s := range []struct {
		call *proxy.Call
		want api.Code
	}{{first, ""}, {again, api.RateLimited}, {other, api.ScopeDenied}} {
		if _, code := h.read(t, s.call, "one/KEY"); code != s.want {
			t.Errorf("got %q, want %q", code, s.want)
		}
	}
	if n := h.records(`"status":429`, `"sub":"app"`); n != 1 {
		t.Errorf("%d refusals of the principal are recorded, want 1", n)
	}
}

func TestRefusalsSayWhenToComeBack(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{PerSource: 4}))
	c := h.call(t, "read:**")
	for range 4 {
		h.read(t, c, "one/KEY")
	}
	_, err := h.Whoami(t.Context(), c)
	var e *proxy.Error
	if !errors.As(err, &e) || e.Code != api.RateLimited || e.RetryAfter != 250*time.Millisecond {
		t.Fatalf("got %+v", e)
	}
	h.clock.pass(e.RetryAfter, e.RetryAfter)
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Errorf("after the time it was told to wait: got %s", code)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	b := proxy.NewBuckets()
	for i := range 3 * proxy.MaxBuckets {
		k := b.Source("10." + strconv.Itoa(i>>16) + "." + strconv.Itoa(i>>8&255) + "." + strconv.Itoa(i&255))
		b.Take(k, 1, time.Second)
		if b.Take(k, 1, time.Second) == 0 {
			t.Fatalf("caller %d was forgotten at once", i)
		}
	}
	if n := b.Len(); n > proxy.MaxBuckets || n < proxy.MaxBuckets/4 {
		t.Errorf("%d buckets, want at most %d", n, proxy.MaxBuckets)
	}
}

func TestBucketsAtEveryRate(t *testing.T) {
	for _, rate := range []int{1, 2, 3, 7, 100, 1_000_000} {
		b := proxy.NewBuckets()
		k := b.Source("192.0.2.1")
		got := 0
		for now := time.Second; now < 3*time.Second; now += 50 * time.Microsecond {
			for range max(1, rate/10_000) {
				if b.Take(k, rate, now) == 0 {
					got++
				}
			}
		}
		// Two seconds' worth and the full bucket at the start; what each 50 us can ask for bounds the last rate.
		if most := 3*rate + 1; got > most || got < min(2*rate, 39_000*max(1, rate/10_000)) {
			t.Errorf("rate %d: %d were let through in two seconds", rate, got)
		}
	}
}

// A source that is far over its rate is counted in the log, not written line by line.
func TestAFloodOverTheLimitIsCounted(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{PerSource: 1}))
	c := h.call(t, "read:**")
	for range 500 {
		h.read(t, c, "one/KEY")
	}
	if n := h.records(`"status":429`); n < 50 || n > 250 {
		t.Errorf("%d records of 499 refusals", n)
	}
	must(t, h.log.Close())
	if h.records(`"kind":"aggregate"`, `"pair":`, "rate_limited ") == 0 {
		t.Error("no count tells of the rest")
	}
}

// While upstreams hang, reads from the cache are answered, and what needs an upstream is shed.
func TestSheddingKeepsCachedReads(t *testing.T) {
	h := newHarness(t, limited(proxy.Limits{InFlight: 8}))
	h.vault.set("a/COLD", "x")
	c := h.call(t, "read:** write:** list:**")
	enter := func() {
		t.Helper()
		must(t, h.Enter(t.Context(), false))
	}
	for range 6 {
		enter()
	}
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Fatalf("with 6 of 8 in flight: got %s", code)
	}
	enter()
	reads, asked := h.vault.reads.Load(), h.judge.calls.Load()
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Errorf("a cached read with 7 of 8 in flight: got %s", code)
	}
	if _, code := h.read(t, c, "one/COLD"); code != api.Overloaded {
		t.Errorf("a read that needs the upstream: got %q", code)
	}
	if h.judge.calls.Load() != asked+2 {
		t.Error("the decision comes before the cache is looked at")
	}
	_, err := h.Write(t.Context(), c, path(t, "one/NEW"), secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte("v"))}})
	if codeOf(t, err) != api.Overloaded {
		t.Errorf("a write: got %v", err)
	}
	for name, ask := range map[string]func() error{
		"fresh": func() error {
			a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY"), Fresh: true})
			if err == nil {
				a.Release()
			}
			return err
		},
		"versions": func() error { _, err := h.Versions(t.Context(), c, path(t, "one/KEY")); return err },
		"rollback": func() error { _, err := h.Rollback(t.Context(), c, path(t, "one/KEY"), "1"); return err },
	} {
		if err := ask(); codeOf(t, err) != api.Overloaded {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err = h.List(t.Context(), c, proxy.ListRequest{Limit: 1})
	var e *proxy.Error
	if !errors.As(err, &e) || e.Code != api.Overloaded || e.RetryAfter != time.Second {
		t.Errorf("a list: got %v", err)
	}
	if h.vault.reads.Load() != reads || len(h.vault.secrets) != 2 {
		t.Error("the upstream was asked")
	}
	if err := h.Enter(t.Context(), true); codeOf(t, err) != api.Overloaded {
		t.Errorf("a request with a body: got %v", err)
	}
	enter()
	if err := h.Enter(t.Context(), false); codeOf(t, err) != api.Overloaded {
		t.Errorf("the ninth of 8: got %v", err)
	}
	for range 8 {
		h.Leave()
	}
	must(t, h.Enter(t.Context(), true))
	h.Leave()
	if _, code := h.read(t, c, "one/COLD"); code != "" {
		t.Errorf("when it is over: got %s", code)
	}
}

// A caller is not forgotten when its generation of buckets becomes the old one, nor let through again.
func TestBucketsAreRememberedForTwoGenerations(t *testing.T) {
	b := proxy.NewBuckets()
	k := b.Source("192.0.2.1")
	b.Take(k, 1, time.Second)
	for i := range proxy.MaxBuckets * 5 / 8 { // of half of which a generation consists
		b.Take(b.Source("10."+strconv.Itoa(i>>16)+"."+strconv.Itoa(i>>8&255)+"."+strconv.Itoa(i&255)), 1, time.Second)
	}
	if b.Take(k, 1, time.Second) == 0 {
		t.Error("it was forgotten with the young generation")
	}
}
