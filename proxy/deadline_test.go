package proxy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// hanging answers nothing before its caller goes.
type hanging struct{ *vault }

func (hanging) List(ctx context.Context, _, _ string, _ int) ([]secret.Item, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) Versions(ctx context.Context, _ string) ([]secret.VersionInfo, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) Write(ctx context.Context, _ string, _ secret.Write) (secret.Version, bool, error) {
	<-ctx.Done()
	return "", false, ctx.Err()
}

// Whatever hangs behind the proxy, a request ends in time: all that it waits for together has one deadline.
func TestRequestsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *proxy.Config) {
			c.Mounts[0].Upstream, c.Mounts[0].UpstreamName = hanging{c.Mounts[0].Upstream.(*vault)}, "hanging"
		})
		c := h.call(t, "read:** write:** list:**")
		h.vault.gate = make(chan struct{})
		var paths []secret.Path
		for i := range proxy.MaxBatch {
			paths = append(paths, path(t, "one/K"+string(rune('A'+i%26))+string(rune('A'+i/26))))
		}
		for name, ask := range map[string]func() error{
			"a read":     func() error { _, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: paths[0]}); return err },
			"a list":     func() error { _, err := h.List(t.Context(), c, proxy.ListRequest{Limit: 1}); return err },
			"versions":   func() error { _, err := h.Versions(t.Context(), c, paths[0]); return err },
			"a rollback": func() error { _, err := h.Rollback(t.Context(), c, paths[0], "1"); return err },
			"a batch": func() error {
				items, err := h.ReadBatch(t.Context(), c, paths)
				must(t, err)
				return items[len(items)-1].Err
			},
		} {
			synctest.Wait() // reads that the one before has left end at the moment at which it did
			began := time.Now()
			if err := ask(); codeOf(t, err) != api.UpstreamTimeout {
				t.Errorf("%s: got %v, want upstream_timeout", name, err)
			}
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%s took %v, want 10 s", name, took)
			}
		}
		close(h.vault.gate)
	})
}

// A change goes on without its caller, but not past a deadline: whoever set it stops waiting, and may end the process. What
// became of the change is on record by then.
func TestAChangeEndsAtItsCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *proxy.Config) {
			c.Mounts[0].Upstream, c.Mounts[0].UpstreamName = hanging{c.Mounts[0].Upstream.(*vault)}, "hanging"
		})
		c := h.call(t, "write:**")
		for _, row := range []struct{ caller, want time.Duration }{{time.Second, 900 * time.Millisecond}, {time.Hour, 10 * time.Second}, {0, 10 * time.Second}} {
			ctx, cancel := context.WithCancel(t.Context())
			if row.caller != 0 {
				ctx, cancel = context.WithTimeout(t.Context(), row.caller)
			}
			began, before := time.Now(), h.records(`"kind":"outcome"`, `"status":504`)
			_, err := h.Write(ctx, c, path(t, "one/KEY"), secret.Write{Secret: text("new")})
			cancel()
			if codeOf(t, err) != api.UpstreamTimeout {
				t.Errorf("got %v, want upstream_timeout", err)
			}
			if took := time.Since(began); took != row.want {
				t.Errorf("with %v left it took %v, want %v", row.caller, took, row.want)
			}
			if n := h.records(`"kind":"outcome"`, `"status":504`) - before; n != 1 {
				t.Errorf("with %v left there are %d outcomes, want 1", row.caller, n)
			}
		}
	})
}

// A read ends before its caller's time does, so that the record of it has some too.
func TestTimeIsLeftForTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.vault.gate = make(chan struct{})
		for _, row := range []struct{ caller, want time.Duration }{
			{time.Second, 900 * time.Millisecond}, {6 * time.Second, 5500 * time.Millisecond},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), row.caller)
			began := time.Now()
			_, err := h.Read(ctx, h.call(t, "read:**"), proxy.ReadRequest{Path: path(t, "one/KEY")})
			if took := time.Since(began); codeOf(t, err) != api.UpstreamTimeout || took != row.want {
				t.Errorf("with %v it ended after %v with %v, want upstream_timeout after %v", row.caller, took, err, row.want)
			}
			cancel()
		}
		close(h.vault.gate)
	})
}
