package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

// rules are the rules of n decisions one after the other.
func rules(t *testing.T, c *wasm.Chain, n int) string {
	t.Helper()
	var out []string
	for range n {
		d := c.Authorize(t.Context(), request(t))
		if d.Fault != nil {
			t.Fatal(d.Fault)
		}
		out = append(out, d.Rule[strings.LastIndexByte(d.Rule, '/')+1:])
	}
	return strings.Join(out, " ")
}

func TestIsolation(t *testing.T) {
	rows := []struct {
		isolation wasm.Isolation
		guest     string
		want      string // how many decisions the instance had made before
	}{
		{"", "counter", "0 1 2 3 4"},
		{wasm.Pooled, "counter", "0 1 2 3 4"},
		{wasm.Reset, "counter", "0 0 0 0 0"},
		{wasm.Fresh, "counter", "0 0 0 0 0"},
		{wasm.Pooled, "grower", "0 1 0 1 0"}, // discarded above two pages
		{wasm.Reset, "grower", "0 0 0 0 0"},
	}
	for _, row := range rows {
		c := load(t, wasm.Config{Modules: []wasm.Module{guest(t, row.guest)}, Isolation: row.isolation})
		if got := rules(t, c, 5); got != row.want {
			t.Errorf("%s, %s: got %q, want %q", row.guest, row.isolation, got, row.want)
		}
	}
}

// The instance that was put back last is taken first.
func TestPoolIsLastInFirstOut(t *testing.T) {
	c := load(t, wasm.Config{Modules: []wasm.Module{guest(t, "counter")}, MaxInstances: 3})
	release, err := c.Hold(3)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if got := c.Idle(); got != 3 {
		t.Fatalf("%d idle instances", got)
	}
	if got := rules(t, c, 4); got != "0 1 2 3" {
		t.Errorf("got %q: more than one instance served decisions that came one by one", got)
	}
}

func TestWaitForAnInstanceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := wasm.New(t.Context(), wasm.Config{Modules: []wasm.Module{guest(t, "counter")}, MaxInstances: 1})
		if err != nil {
			t.Fatal(err)
		}
		release, err := c.Hold(1)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Deny || !errors.Is(got.Fault, wasm.ErrBusy) {
			t.Errorf("got %+v", got)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v", waited)
		}

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan policy.Decision)
		go func() { done <- c.Authorize(ctx, request(t)) }()
		synctest.Wait()
		start = time.Now()
		cancel()
		if got := <-done; !errors.Is(got.Fault, wasm.ErrBusy) || !errors.Is(got.Fault, context.Canceled) {
			t.Errorf("got %+v", got)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v after the context ended", waited)
		}

		release()
		if got := c.Authorize(t.Context(), request(t)); got.Effect != policy.Allow {
			t.Errorf("got %+v", got)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// 64 callers share four instances of each policy; every answer is that of its own request.
func TestConcurrentDecisions(t *testing.T) {
	for _, isolation := range []wasm.Isolation{wasm.Pooled, wasm.Reset, wasm.Fresh} {
		c := load(t, wasm.Config{
			Modules:   []wasm.Module{guest(t, "echo", `"inputs":["secret.mount"]`, `"encoding":"json"`), guest(t, "flat_prefix")},
			Isolation: isolation, MaxInstances: 4,
		})
		c.Patient()
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				r := request(t)
				r.Mount = fmt.Sprintf("mount-%d", i)
				for range 20 {
					got := c.Authorize(t.Context(), r)
					if got.Effect != policy.Allow || !strings.Contains(got.Reason, `"mount":"`+r.Mount+`"`) {
						t.Errorf("%s: %v, fault %v, reason %q", r.Mount, got.Effect, got.Fault, got.Reason)
						return
					}
				}
			})
		}
		wg.Wait()
		if got := c.Idle(); got > 4 {
			t.Errorf("%d instances live on, at most 4 may", got)
		}
		if got := c.Stats().Allowed; got != 64*20 {
			t.Errorf("%d decisions counted", got)
		}
	}
}

// Close waits for decisions under way; those after it are denied, none crashes.
func TestCloseWhileDeciding(t *testing.T) {
	for range 10 {
		c, err := wasm.New(t.Context(), wasm.Config{Modules: []wasm.Module{guest(t, "flat_prefix")}})
		if err != nil {
			t.Fatal(err)
		}
		c.Patient()
		var wg sync.WaitGroup
		started := make(chan struct{}, 8)
		for range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					got := c.Authorize(t.Context(), request(t))
					if i == 0 {
						started <- struct{}{}
					}
					if errors.Is(got.Fault, wasm.ErrClosed) {
						return
					}
					if got.Effect != policy.Allow {
						t.Errorf("got %+v", got)
						return
					}
				}
			})
		}
		for range 8 {
			<-started
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}
