package proxy_test

import (
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// What callers do not read does not fill the memory: large answers have a bound together, what is over it is recorded as
// refused, and small ones pass meanwhile.
func TestLargeAnswersAreBoundedTogether(t *testing.T) {
	h := newHarness(t, nil)
	h.vault.set("a/LARGE", strings.Repeat("x", secret.MaxValueBytes))
	c := h.call(t, "read:**")
	const most = 48 << 20 / secret.MaxValueBytes
	var held []proxy.Answer
	for range most {
		a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/LARGE")})
		must(t, err)
		held = append(held, a)
	}
	if _, code := h.read(t, c, "one/LARGE"); code != api.Overloaded {
		t.Errorf("one more: got %q, want overloaded", code)
	}
	if n := h.records(`"path":"one/LARGE"`, `"status":503`); n != 1 {
		t.Errorf("%d records say that it was refused, want one", n)
	}
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Errorf("a small answer meanwhile: got %q", code)
	}
	items, err := h.ReadBatch(t.Context(), c, []secret.Path{path(t, "one/KEY"), path(t, "one/LARGE")})
	must(t, err)
	for i, it := range items {
		if codeOf(t, it.Err) != api.Overloaded {
			t.Errorf("item %d of a batch: got %v", i+1, it.Err)
		}
	}
	for i := range held {
		held[i].Release()
	}
	paths := []secret.Path{path(t, "one/LARGE"), path(t, "one/LARGE")}
	for range most {
		items, err := h.ReadBatch(t.Context(), c, paths)
		must(t, err)
		for i := range items {
			must(t, items[i].Err)
			items[i].Answer.Release()
		}
	}
}
