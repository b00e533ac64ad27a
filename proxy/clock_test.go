package proxy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// A wall clock that is set back makes cached values suspect, not wrong; new tokens are refused, and the log still
// verifies.
func TestClockGoingBackward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		c := h.call(t, "read:one/*")
		h.read(t, c, "one/KEY")
		h.clock.pass(-10*time.Second, time.Second)
		if v, code := h.read(t, c, "one/KEY"); v != canary {
			t.Fatalf("within the leeway: got %q, want the value", code)
		}
		synctest.Wait()
		if h.vault.reads.Load() != 2 {
			t.Fatal("the value was not read anew")
		}
		h.clock.pass(-time.Hour, time.Second)
		if v, code := h.read(t, c, "one/KEY"); v != "" || code != api.TokenInvalid {
			t.Errorf("a token from the future: got %q %q, want token_invalid", v, code)
		}
		if v, code := h.read(t, h.call(t, "read:one/*"), "one/KEY"); v != canary {
			t.Errorf("a token of the new time: got %q, want the value", code)
		}
		if _, err := audit.Verify(h.sink.Sources(), audit.VerifyOptions{PublicKey: publicKey(h)}); err != nil {
			t.Error(err)
		}
	})
}
