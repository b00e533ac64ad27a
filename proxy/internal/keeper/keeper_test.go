package keeper_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/keeper"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// session lives for a minute and is fresh for half of it.
type session struct {
	n     int
	since time.Time
}

func (s *session) Alive(now time.Time) bool { return now.Sub(s.since) < time.Minute }
func (s *session) Fresh(now time.Time) bool { return now.Sub(s.since) < 30*time.Second }

var (
	errBroken = errors.New("broken")
	errLogin  = errors.New("cannot log in")
)

// desk logs in, when it is let to.
type desk struct {
	kept   *keeper.Keeper[*session]
	logins int
	alive  *session // what the last login had to go on with
	err    error
	slow   time.Duration
	old    time.Duration // the age of what a login gives
}

func newDesk() *desk { return &desk{kept: keeper.New[*session](time.Now, errBroken)} }

func (d *desk) login(ctx context.Context, alive *session) (*session, error) {
	d.logins++
	d.alive = alive
	n := d.logins
	select {
	case <-time.After(d.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.err != nil {
		return nil, d.err
	}
	return &session{n, time.Now().Add(-d.old)}, nil
}

// get returns the number of the session that is got.
func (d *desk) get(ctx context.Context) (int, error) {
	s, err := d.kept.Get(ctx, nil, d.login)
	if err != nil {
		return 0, err
	}
	return s.n, nil
}

func (d *desk) want(t *testing.T, what string, n, logins int) {
	t.Helper()
	if got, err := d.get(t.Context()); err != nil || got != n || d.logins != logins {
		t.Errorf("%s: got session %d, %v after %d logins; want session %d after %d", what, got, err, d.logins, n, logins)
	}
}

func TestASessionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.want(t, "first", 1, 1)
		time.Sleep(29 * time.Second)
		d.want(t, "fresh", 1, 1)
		if d.alive != nil {
			t.Error("the first login had something to go on with")
		}
		time.Sleep(time.Second)
		d.want(t, "no longer fresh", 2, 2)
		if d.alive == nil || d.alive.n != 1 {
			t.Errorf("it was made from %+v, want the first", d.alive)
		}
		time.Sleep(time.Minute)
		d.want(t, "ended", 3, 3)
		if d.alive != nil {
			t.Error("the one that ended was taken for alive")
		}
	})
}

// While it cannot be renewed a session is used to its end, and renewing it is tried after a pause.
func TestWhatLivesIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.want(t, "first", 1, 1)
		d.err = errLogin
		time.Sleep(30 * time.Second)
		d.want(t, "not renewed", 1, 2)
		d.want(t, "in the pause", 1, 2)
		time.Sleep(5 * time.Second)
		d.want(t, "after the pause", 1, 3)
		time.Sleep(25 * time.Second)
		if _, err := d.get(t.Context()); !errors.Is(err, errLogin) {
			t.Errorf("ended: got %v, want %v", err, errLogin)
		}
	})
}

// While the login is silent a session that lives is used in time for the request that asked, and who cannot use that one
// logs in with all the time it has.
func TestASilentRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.want(t, "first", 1, 1)
		d.slow = 8 * time.Second
		time.Sleep(30 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		first := d.together(ctx, 1)
		s, err := d.kept.Get(ctx, func(s *session) bool { return s.n == 1 }, d.login)
		if !errors.Is(err, secret.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who refuses it, and has no time for the whole login: got %+v, %v", s, err)
		}
		if g := <-first; g.err != nil || g.n != 1 {
			t.Errorf("got %+v, want the session that lives", g)
		}
		s, err = d.kept.Get(t.Context(), func(s *session) bool { return s.n == 1 }, d.login)
		if err != nil || s.n != 4 {
			t.Errorf("who refuses it: got %+v, %v; want session 4", s, err)
		}

		d.slow = time.Minute
		time.Sleep(35 * time.Second)
		began := time.Now()
		d.want(t, "silent", 4, 5)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the request waited %v for a login that it could do without, want 3s", took)
		}
	})
}

// What gives nothing fresh is asked again after a pause, not for each request.
func TestWhatIsNeverFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.old = 40 * time.Second
		d.want(t, "first", 1, 1)
		d.want(t, "in the pause", 1, 1)
		time.Sleep(5 * time.Second)
		d.want(t, "after the pause", 2, 2)
		d.want(t, "in the next pause", 2, 2)
	})
}

func TestARefusedSessionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.want(t, "first", 1, 1)
		refused := func(s *session) bool { return s.n == 1 }
		for range 2 {
			s, err := d.kept.Get(t.Context(), refused, d.login)
			if err != nil || s.n != 2 || d.logins != 2 || d.alive != nil {
				t.Fatalf("got %+v, %v after %d logins", s, err, d.logins)
			}
		}
	})
}

type got struct {
	n   int
	err error
}

// together has n callers ask at one time.
func (d *desk) together(ctx context.Context, n int) chan got {
	out := make(chan got, n)
	for range n {
		go func() {
			n, err := d.get(ctx)
			out <- got{n, err}
		}()
	}
	synctest.Wait()
	return out
}

func TestOneLoginIsForAll(t *testing.T) {
	for _, fails := range []error{nil, errLogin} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk()
			d.slow, d.err = time.Second, fails
			all := d.together(t.Context(), 8)
			for range 8 {
				if g := <-all; !errors.Is(g.err, fails) || fails == nil && g.n != 1 {
					t.Errorf("got %+v, want session 1, %v", g, fails)
				}
			}
			if d.logins != 1 {
				t.Errorf("%d logins", d.logins)
			}
		})
	}
}

// A session that ended before it was there is had once for all who waited, and once more for who comes later.
func TestASessionPastItsEndIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.slow, d.old = time.Second, time.Hour
		all := d.together(t.Context(), 8)
		for range 8 {
			if g := <-all; g.err != nil || g.n != 1 {
				t.Errorf("got %+v, want session 1", g)
			}
		}
		d.want(t, "later", 2, 2)
	})
}

// Who waits for a login while another session is refused does not get that one again.
func TestARefusedSessionIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.slow = time.Second
		first := d.together(t.Context(), 1)
		s, err := d.kept.Get(t.Context(), func(s *session) bool { return s.n == 1 }, d.login)
		if err != nil || s.n != 2 || d.logins != 2 {
			t.Errorf("got %+v, %v after %d logins; want session 2 after 2", s, err, d.logins)
		}
		if g := <-first; g.err != nil || g.n != 1 {
			t.Errorf("who refused nothing got %+v", g)
		}
	})
}

// One who leaves does not take the login away from the others, and who waits does so no longer than its own context.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.slow = 10 * time.Second
		ctx, leave := context.WithCancel(t.Context())
		first := d.together(ctx, 1)
		others := d.together(t.Context(), 3)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g := <-d.together(hasty, 1); !errors.Is(g.err, secret.ErrTimeout) {
			t.Errorf("who waited too long got %+v", g)
		}
		leave()
		if g := <-first; !errors.Is(g.err, context.Canceled) {
			t.Errorf("who left got %+v", g)
		}
		for range 3 {
			if g := <-others; g.err != nil || g.n != 2 {
				t.Errorf("who stayed got %+v", g)
			}
		}
		if d.logins != 2 {
			t.Errorf("%d logins, want 2", d.logins)
		}
		if _, err := d.get(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	})
}

// A login that panics keeps nobody waiting.
func TestABrokenLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is swallowed")
				}
			}()
			_, _ = d.kept.Get(t.Context(), nil, func(context.Context, *session) (*session, error) {
				time.Sleep(time.Second)
				panic("broken")
			})
		}()
		synctest.Wait()
		if g := <-d.together(t.Context(), 1); !errors.Is(g.err, errBroken) {
			t.Errorf("got %+v, want %v", g, errBroken)
		}
		d.want(t, "afterwards", 1, 1)
	})
}
