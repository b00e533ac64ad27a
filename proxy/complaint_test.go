package proxy_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// The log says why an upstream fails, also where its callers get stale values, and no more often than now and then.
func TestFailuresOfAnUpstreamAreLogged(t *testing.T) {
	var log bytes.Buffer
	h := newHarness(t, func(c *proxy.Config) {
		lenient(c)
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	lines := func() string {
		defer log.Reset()
		var out []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "read of the upstream failed") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	c := h.call(t, "read:one/*")
	h.vault.set("a/HELD", canary)
	h.read(t, c, "one/HELD")
	if _, code := h.read(t, c, "one/NONE"); code != "not_found" || lines() != "" {
		t.Errorf("a secret that is not there: %s, and the log tells of it", code)
	}
	h.broken(fmt.Errorf("%w: cannot log in", secret.ErrUnavailable))
	h.clock.pass(6*time.Minute, 6*time.Minute)
	if v, code := h.read(t, c, "one/HELD"); v != canary {
		t.Errorf("got %q, want the stale value", code)
	}
	if got := lines(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "cannot log in") || !strings.Contains(got, "path=one/HELD") || !strings.Contains(got, "untold=0") || !strings.Contains(got, "level=WARN") {
		t.Errorf("logged %q", got)
	}
	for i := range 20 {
		h.read(t, c, fmt.Sprintf("one/K%d", i))
	}
	if got := lines(); got != "" {
		t.Errorf("at once again it logged %q", got)
	}
	h.clock.pass(10*time.Second, 10*time.Second)
	h.broken(secret.ErrDenied)
	h.read(t, c, "one/K")
	if got := lines(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "denied") || !strings.Contains(got, "untold=20") {
		t.Errorf("later it logged %q", got)
	}
}
