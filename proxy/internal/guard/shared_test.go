package guard_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// One request that fails for many reads is one failure and one retry; the same from many requests is an outage.
func TestAFailureThatManyShare(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fail   func() func() error // called once for all reads: what it returns fails the first try of each
		failed bool
	}{
		{"one request", func() func() error {
			err := guard.Shared(secret.ErrUnavailable)
			return func() error { return err }
		}, false},
		{"many requests", func() func() error {
			return func() error { return guard.Shared(secret.ErrUnavailable) }
		}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, fail := build(t, guard.Config{}), tt.fail()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					tried := false
					err := g.Retry(t.Context(), "x", func(context.Context) error {
						if tried {
							return nil
						}
						tried = true
						return fail()
					})
					if err != nil && !tt.failed {
						t.Errorf("%s: %v", tt.name, err)
					}
				})
			}
			all.Wait()
			if got := g.Stats(); got.Open != tt.failed || !tt.failed && (got.Failures != 1 || got.Retries != 20) {
				t.Errorf("%s: got %+v", tt.name, got)
			}
		})
	}
}

// What a failure is stays to be seen, and the budget's refusal is everybody's.
func TestASharedFailureIsNoMoreThanThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		g := build(t, guard.Config{Failures: -1})
		for range 4 { // three retries, which are the budget
			f.fail(2, guard.Shared(secret.ErrUnavailable))
			_ = read(t.Context(), g, f)
			f.script = nil
		}
		f.asked()
		f.fail(9, guard.Shared(secret.ErrThrottled))
		for range 3 {
			_ = read(t.Context(), g, f)
		}
		if got := f.asked(); got != 3 {
			t.Errorf("3 reads without budget asked %d times", got)
		}
		f.script = nil
		f.fail(1, guard.Shared(secret.ErrNotFound))
		if err := read(t.Context(), g, f); err == nil || f.asked() != 1 {
			t.Errorf("no such secret: got %v, and asked again", err)
		}
	})
}
