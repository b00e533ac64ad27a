package fanout_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/fanout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSlowWatcherFindsTheLatestOnly(t *testing.T) {
	var h fanout.Hub
	defer h.Close()
	h.Tell(1)
	ch, err := h.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{2, 4, 3, 4} {
		h.Tell(n)
	}
	if got, want := <-ch, uint64(4); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	select {
	case got, ok := <-ch:
		t.Errorf("then got %d, %v; want nothing", got, ok)
	default:
	}
}

func TestChannelsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h fanout.Hub
		ctx, cancel := context.WithCancel(t.Context())
		a, _ := h.Watch(ctx)
		b, _ := h.Watch(t.Context())
		h.Tell(1)
		cancel()
		synctest.Wait()
		if got := <-a; got != 1 {
			t.Errorf("news from before the end: %d, want 1", got)
		}
		if _, ok := <-a; ok {
			t.Error("the channel outlived its context")
		}
		h.Close()
		if got := <-b; got != 1 {
			t.Errorf("news from before the end: %d, want 1", got)
		}
		if _, ok := <-b; ok {
			t.Error("the channel outlived the hub")
		}
		h.Tell(2)
		h.Close()
		if _, err := h.Watch(t.Context()); !errors.Is(err, fanout.ErrClosed) {
			t.Errorf("Watch after Close: error %v, want %v", err, fanout.ErrClosed)
		}
	})
}
