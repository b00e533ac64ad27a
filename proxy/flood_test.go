package proxy_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// A flood of denials from one source costs the log two records a second beyond its fiftieth, and each answer names a
// record. What is not a denial is recorded one by one, whatever the rate.
func TestFloodOfDenials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		const denials, missing = 300, 100
		named := map[string]bool{}
		for i := range denials {
			c := h.call(t, "read:one/*")
			if i%2 == 0 {
				c.Token = "nonsense"
			}
			_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "two/KEY")})
			var e *proxy.Error
			if !errors.As(err, &e) || e.Code != api.ScopeDenied && e.Code != api.TokenInvalid && e.Code != api.RateLimited {
				t.Fatalf("got %v, want a denial", err)
			}
			named[e.Decision] = true
		}
		c := h.call(t, "read:one/*")
		for range missing {
			if _, code := h.read(t, c, "one/MISSING"); code != api.NotFound {
				t.Fatalf("got %q, want not_found", code)
			}
		}
		must(t, h.log.Close())
		for id := range named {
			if h.records(`"id":"`+id+`"`) != 1 {
				t.Errorf("an answer names %s, which has no record", id)
			}
		}
		if got := h.records(`"code":"not_found"`, `"kind":"access"`); got != missing {
			t.Errorf("%d records of missing secrets, want %d", got, missing)
		}
		var told uint64
		begun := 0
		for _, s := range h.sink.Sources() {
			must(t, audit.Scan(s.Reader, func(_ []byte, r *audit.Record) error {
				switch {
				case r.Kind == audit.Aggregate:
					told += r.Count
					begun++
				case r.Result.Status == 401 || r.Result.Status == 403 || r.Result.Status == 429:
					told++
				}
				return nil
			}))
		}
		for _, code := range []api.Code{api.ScopeDenied, api.RateLimited} {
			if h.records(`"kind":"aggregate"`, `"pair":`, string(code)+" ") == 0 {
				t.Errorf("no count tells of %s", code)
			}
		}
		if told != denials || begun < 2 {
			t.Errorf("the log tells of %d denials in %d records of counts, want %d and some", told, begun, denials)
		}
		report, err := audit.Verify(h.sink.Sources(), audit.VerifyOptions{PublicKey: publicKey(h)})
		must(t, err)
		if len(report.OpenCounts) != 0 {
			t.Errorf("got %+v, want nothing open", report.OpenCounts)
		}
	})
}

// I1: a denial that would only be counted is not answered either while the log takes no records.
func TestFloodWithoutALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		c := h.call(t, "read:one/*")
		for range 60 {
			h.read(t, c, "two/KEY")
		}
		h.sink.Fail(errors.New("disk full"), 0)
		if _, code := h.read(t, c, "one/KEY"); code != api.AuditUnavailable {
			t.Fatalf("read: got %q, want audit_unavailable", code)
		}
		if _, code := h.read(t, c, "two/KEY"); code != api.AuditUnavailable {
			t.Errorf("denied read: got %q, want audit_unavailable", code)
		}
		h.sink.Fail(nil, 0)
	})
}
