package upstreamtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// faultPatience is how long a silent upstream is waited for. It bounds the test, and measures nothing.
const faultPatience = 200 * time.Millisecond

func testFaults(t *testing.T, h Harness) {
	if h.Fault == nil {
		return
	}
	for f, wanted := range map[Fault][]error{
		Throttled:    {secret.ErrThrottled},
		ServerError:  {secret.ErrUnavailable},
		Denied:       {secret.ErrDenied},
		MissingMount: {secret.ErrUnavailable},
		Malformed:    nil,
		Oversized:    {secret.ErrTooLarge, secret.ErrUnavailable},
		Silent:       {secret.ErrTimeout},
		Gateway:      {secret.ErrUnavailable},
		LoginRefused: {secret.ErrUnavailable},
		LoginExpired: nil,
	} {
		t.Run(f.String(), func(t *testing.T) {
			u := open(t, h)
			want := simple(h, "behind a fault")
			put(t, h, u, "suite/fault", want)
			same(t, h, read(t, u, "suite/fault", secret.Current), want)
			t.Run("During", func(t *testing.T) {
				h.Fault(t, f)
				ctx := t.Context()
				switch f {
				case LoginExpired:
					same(t, h, read(t, u, "suite/fault", secret.Current), want)
					return
				case Silent:
					testPatience(t, u)
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, faultPatience)
					defer cancel()
				}
				s, err := u.Read(ctx, "suite/fault", secret.Current)
				refusedAs(t, s, err, wanted)
			})
			t.Run("After", func(t *testing.T) {
				same(t, h, read(t, u, "suite/fault", secret.Current), want)
			})
		})
	}
}

// testPatience has a caller leave who waits for a silent upstream.
func testPatience(t *testing.T, u secret.Upstream) {
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(faultPatience/4, cancel).Stop()
	s, err := u.Read(ctx, "suite/fault", secret.Current)
	refused(t, s, err, "reading for a caller who leaves meanwhile", context.Canceled)
}

// refusedAs checks that err is one of those wanted, or any, and never that there is no such secret: a wrong "not found"
// would purge a good value.
func refusedAs(t *testing.T, s *secret.Secret, err error, wanted []error) {
	t.Helper()
	quiet(t, err)
	if s != nil || err == nil {
		t.Fatal("got an answer, want an error")
	}
	if errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v: a failing upstream is not a missing secret", err)
	}
	if errors.Is(err, secret.ErrDenied) && !slices.Contains(wanted, secret.ErrDenied) {
		t.Errorf("got %v: a failing upstream denies nothing", err)
	}
	for _, want := range wanted {
		if errors.Is(err, want) {
			return
		}
	}
	if len(wanted) > 0 {
		t.Errorf("got error %v, want one of %v", err, fmt.Sprint(wanted))
	}
}
