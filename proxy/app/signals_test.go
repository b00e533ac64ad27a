package app_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

// A secret is rotated in the vault, behind the proxy. Who only waits has the old value to the soft TTL; who polls has the
// new one without anybody's word; who is told has it with the next read. The clocks of the servers stand still, so that no
// TTL brings it.
func TestRotationBehindTheProxy(t *testing.T) {
	bao := baotest.Start(t)
	servers := map[string]*beforeBao{
		"waits": newBeforeBao(t, bao, bao.URL, ""),
		"told":  newBeforeBao(t, bao, bao.URL, ""),
	}
	polls := newBeforeBaoPolled(t, bao, "\n    poll: {interval: 1s}")
	servers["polls"] = polls
	read := func(b *beforeBao) string {
		t.Helper()
		code, a := b.ask(t, "GET", "/web/db", "")
		if code != 200 {
			t.Fatalf("got %d %+v", code, a)
		}
		return a.Data.Fields["text"]
	}
	for name, b := range servers {
		b.put(t, "apps/web/db", "one")
		if got := read(b); got != "one" {
			t.Fatalf("%s: got %q", name, got)
		}
	}
	for _, b := range servers {
		b.put(t, "apps/web/db", "two")
	}
	rotated := time.Now()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for read(polls) != "two" {
		<-look.C
	}
	t.Logf("seen by polling %v after the rotation", time.Since(rotated))
	for _, name := range []string{"waits", "told"} {
		if got := read(servers[name]); got != "one" {
			t.Errorf("%s: got %q before anybody said anything, want what is cached", name, got)
		}
	}
	told := servers["told"]
	token := told.Target().Token(t, map[string]string{"scope": "invalidate:web/**"})
	if code, text := do(t, told.Server, token, "POST", "/v1/invalidations", `{"path":"web/db"}`); code != 200 {
		t.Fatalf("invalidating: %d %s", code, text)
	}
	if got := read(told); got != "two" {
		t.Errorf("after the invalidation: got %q", got)
	}
	if got := read(servers["waits"]); got != "one" {
		t.Errorf("who only waits: got %q", got)
	}
	servers["waits"].pass(21 * time.Second)
	if got := read(servers["waits"]); got != "two" {
		t.Errorf("who only waits, after hard_ttl: got %q", got)
	}
}
