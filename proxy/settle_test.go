package proxy_test

import (
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// held reads one/KEY, and lets happen what happens while its record is being written.
func held(t *testing.T, h *harness, c *proxy.Call, happens func(writes int)) (value string, code api.Code) {
	t.Helper()
	entered, leave := h.sink.hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, code = h.read(t, c, "one/KEY")
	}()
	for n := 1; ; n++ {
		select {
		case <-entered:
			happens(n)
			leave <- struct{}{}
		case <-done:
			close(leave)
			return value, code
		}
	}
}

// I3: a process that is frozen between the decision and the answer looks again before it answers.
func TestFrozenInARequest(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(t *testing.T, h *harness)
		value   string
		code    api.Code
		records int // of values
	}{
		"nothing else": {func(*testing.T, *harness) {}, canary, "", 1},
		"invalidated": {func(t *testing.T, h *harness) {
			h.vault.set("a/KEY", "rotated")
			appendFact(t, h, state.Invalidation, "one/KEY")
		}, "rotated", "", 2},
		"revoked": {func(t *testing.T, h *harness) { appendFact(t, h, state.Revocation, "subject:app") }, "", api.Revoked, 1},
		"a token used": {func(t *testing.T, h *harness) {
			appendFact(t, h, state.ProjectTokenUse, "another")
			appendFact(t, h, state.Lift, "the use before")
		}, canary, "", 1},
		"denied by now":   {func(_ *testing.T, h *harness) { h.judge.effect.Store(uint32(policy.Deny)) }, "", api.PolicyDenied, 1},
		"to be approved":  {func(_ *testing.T, h *harness) { h.judge.effect.Store(uint32(policy.RequireApproval)) }, "", api.ApprovalRequired, 1},
		"past its TTL":    {func(_ *testing.T, h *harness) { h.clock.pass(5*time.Minute, 0); h.vault.set("a/KEY", "rotated") }, "rotated", "", 2},
		"token expired":   {func(_ *testing.T, h *harness) { h.clock.pass(2*time.Hour, 0) }, "", api.TokenExpired, 1},
		"store not there": {func(_ *testing.T, h *harness) { h.store.fail.Store(true); h.clock.pass(time.Minute, 0) }, "", api.StateUnavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			call := h.call(t, "read:one/*")
			h.read(t, call, "one/KEY")
			before := h.records(`"status":200`)
			value, code := held(t, h, call, func(n int) {
				if n == 1 {
					h.clock.pass(10*time.Second, 0)
					c.happens(t, h)
				}
			})
			if value != c.value || code != c.code {
				t.Errorf("got %q %q, want %q %q", value, code, c.value, c.code)
			}
			if got := h.records(`"status":200`) - before; got != c.records {
				t.Errorf("got %d records of values, want %d", got, c.records)
			}
		})
	}
}

// A request that is overtaken again and again is refused, and says so in the log.
func TestOvertakenAgainAndAgain(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*")
	value, code := held(t, h, call, func(int) {
		h.clock.pass(10*time.Second, 0)
		appendFact(t, h, state.Invalidation, "one/KEY")
	})
	if value != "" || code != api.StateUnavailable {
		t.Errorf("got %q %q, want state_unavailable", value, code)
	}
	if got := h.records(`"code":"state_unavailable"`); got != 1 {
		t.Errorf("got %d records of the refusal, want 1", got)
	}
}

// A batch looks again at each of its items.
func TestFrozenInABatch(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*")
	h.read(t, call, "one/KEY")
	entered, leave := h.sink.hold()
	got := make(chan string, 1)
	go func() {
		items, err := h.ReadBatch(t.Context(), call, []secret.Path{path(t, "one/KEY")})
		if err != nil || items[0].Err != nil {
			got <- "refused"
			return
		}
		defer items[0].Answer.Release()
		got <- string(items[0].Answer.Value.Reveal())
	}()
	<-entered
	h.vault.set("a/KEY", "rotated")
	appendFact(t, h, state.Invalidation, "one/KEY")
	h.clock.pass(10*time.Second, 0)
	close(leave)
	<-entered
	if v := <-got; v != "rotated" {
		t.Errorf("got %q, want the new value", v)
	}
}

// What an item of a batch was settled on is no older when the last item is: none leaves before all are sure.
func TestABatchThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		call := h.call(t, "read:one/*")
		h.read(t, call, "one/KEY")
		entered, leave := h.sink.hold()
		done := make(chan int, 1)
		go func() {
			got, err := h.batch(t, call, slices.Repeat([]string{"one/KEY"}, 2*16+1)...)
			released := 0
			for _, v := range got {
				if err == nil && v == canary {
					released++
				}
			}
			done <- released
		}()
		for n := 1; ; n++ {
			select {
			case <-entered:
				if n == 2 { // those that the first write recorded are settled
					synctest.Wait()
					appendFact(t, h, state.Revocation, "subject:app")
					h.clock.pass(10*time.Second, 0)
				}
				leave <- struct{}{}
			case released := <-done:
				close(leave)
				if released != 0 {
					t.Errorf("%d values were released 10 s after their reader was revoked, want none", released)
				}
				return
			}
		}
	})
}

// The end of the token overtakes a request by itself, while the value may still be served.
func TestTokenEndsInARequest(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*", func(c *identity.Claims) { c.Expires = c.IssuedAt.Add(time.Minute) })
	h.read(t, call, "one/KEY")
	value, code := held(t, h, call, func(int) { h.clock.pass(3*time.Minute, 0) })
	if value != "" || code != api.TokenExpired {
		t.Errorf("got %q %q, want token_expired", value, code)
	}
}

// What is restricted is not released blindly after a freeze either.
func TestBlindInARequest(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.Labels = []proxy.LabelRule{classified(t, "one/KEY", "restricted")} })
	call := h.call(t, "read:one/*")
	h.read(t, call, "one/KEY")
	value, code := held(t, h, call, func(n int) {
		if n == 1 {
			h.store.fail.Store(true)
			h.clock.pass(2*time.Second, 2*time.Second) // less than max_blind
		}
	})
	if value != "" || code != api.StateUnavailable {
		t.Errorf("got %q %q, want state_unavailable", value, code)
	}
}

// A clock that is set back in the middle tells nothing about how long a request took: it looks again.
func TestClockSetBackInARequest(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*")
	h.read(t, call, "one/KEY")
	value, code := held(t, h, call, func(n int) {
		if n == 1 {
			h.vault.set("a/KEY", "rotated")
			appendFact(t, h, state.Invalidation, "one/KEY")
			h.clock.pass(-10*time.Second, 5*time.Second)
		}
	})
	if value != "rotated" || code != "" {
		t.Errorf("got %q %q, want the new value", value, code)
	}
}

// A stale value is released no later than its bound for stale ones.
func TestFrozenWithAStaleValue(t *testing.T) {
	for passes, want := range map[time.Duration]api.Code{10 * time.Minute: "", 30 * time.Minute: api.UpstreamError} {
		h := newHarness(t, func(c *proxy.Config) { c.Mounts[0].TTL.Stale = 30 * time.Minute })
		call := h.call(t, "read:one/*")
		h.read(t, call, "one/KEY")
		h.broken(secret.ErrUnavailable)
		value, code := held(t, h, call, func(n int) {
			if n == 1 {
				h.clock.pass(passes, 0)
			}
		})
		if code != want || (value == canary) != (want == "") {
			t.Errorf("after %v more: got %q %q, want %q", passes, value, code, want)
		}
	}
}

// A policy that allows until a time is asked again as of when the answer is ready. It may look at all that it looked at
// the first time.
func TestAllowedUntil(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*")
	h.read(t, call, "one/KEY")
	first := h.judge.last.Load()
	if value, code := held(t, h, call, func(int) { h.clock.pass(10*time.Second, 0) }); value != canary {
		t.Fatalf("got %q", code)
	}
	again := *h.judge.last.Load()
	if d := again.Context.Time.Sub(first.Context.Time); d != 10*time.Second {
		t.Errorf("the policy was asked as of %v after the decision, want 10s", d)
	}
	again.Context.Time = first.Context.Time
	if !reflect.DeepEqual(again.Context, first.Context) || again.Path != first.Path || again.Mount != first.Mount || again.Action != first.Action || again.Version != first.Version {
		t.Errorf("asked again about %+v, first about %+v", again, *first)
	}
}

// A request that is decided anew is decided as of then.
func TestDecidedAnewAsOfNow(t *testing.T) {
	h := newHarness(t, nil)
	call := h.call(t, "read:one/*")
	h.read(t, call, "one/KEY")
	_, code := held(t, h, call, func(n int) {
		if n == 1 {
			appendFact(t, h, state.Invalidation, "one/KEY")
			h.clock.pass(10*time.Second, 0)
		}
	})
	if got, want := h.judge.last.Load().Context.Time, h.clock.Wall(); code != "" || !got.Equal(want) {
		t.Errorf("the policy was asked as of %v (%q), want %v", got, code, want)
	}
}

// The wall clock that decides has no monotonic reading: the difference of two that have one does not show a freeze.
func TestWallClockHasNoMonotonicReading(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.Wall = time.Now })
	h.clock.pass(time.Until(h.clock.Wall()), 0)
	h.read(t, h.call(t, "read:one/*", nil...), "one/KEY")
	if asked := h.judge.last.Load(); asked == nil || asked.Context.Time != asked.Context.Time.Round(0) {
		t.Errorf("the policy was asked at %v, want a time of the wall clock alone", asked)
	}
}

// A project token is looked up again like any other token is verified again: nothing about it has changed, so the value goes
// out as it was decided, or its time is over, and nothing does.
func TestFrozenInARequestOfAProjectToken(t *testing.T) {
	for name, c := range map[string]struct {
		ttl     time.Duration
		frozen  time.Duration
		value   string
		code    api.Code
		records int // of values
	}{
		"still good":            {24 * time.Hour, 10 * time.Second, canary, "", 1},
		"over, and the value":   {24 * time.Hour, 25 * time.Hour, "", api.TokenInvalid, 1},
		"over before the value": {time.Minute, 2 * time.Minute, "", api.TokenExpired, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			token, code := createToken(t, h, h.call(t, "revoke:** read:**"), func(r *proxy.ProjectTokenRequest) { r.TTL = c.ttl })
			if code != "" {
				t.Fatal(code)
			}
			call := &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
			h.read(t, call, "one/KEY")
			h.WaitForUses() // with a fact that comes later a token that is over is forgotten
			before := h.records(`"action":"read"`, `"status":200`)
			value, code := held(t, h, call, func(n int) {
				if n == 1 {
					h.clock.pass(c.frozen, 0)
				}
			})
			if value != c.value || code != c.code && code != api.TokenExpired {
				t.Errorf("got %q %q, want %q %q", value, code, c.value, c.code)
			}
			if got := h.records(`"action":"read"`, `"status":200`) - before; got != c.records {
				t.Errorf("got %d records of values, want %d", got, c.records)
			}
		})
	}
}
