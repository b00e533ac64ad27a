package vault_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

// clock is a wall clock that a test sets.
type clock struct{ ms atomic.Int64 }

func (c *clock) wall() time.Time      { return time.UnixMilli(1_800_000_000_000 + c.ms.Load()) }
func (c *clock) step(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// stand is an upstream before a scripted vault that knows the tokens it gave.
type stand struct {
	*issuer
	secret.Upstream
	edge  *edge
	clock *clock

	mu    sync.Mutex
	valid func(token string) bool // nil: all
	look  func(token string) int  // status of the answer to who asks about his token; nil: the issuer's
}

func newStand(t *testing.T, i *issuer, login vault.Login) *stand {
	t.Helper()
	s := &stand{issuer: i, edge: newEdge(t, ""), clock: &clock{}}
	s.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		token := r.Header.Get("X-Vault-Token")
		s.mu.Lock()
		refused, look := s.valid != nil && !s.valid(token), s.look
		s.mu.Unlock()
		if look != nil && strings.HasSuffix(r.URL.Path, "lookup-self") {
			if status := look(token); status != 200 {
				reply(w, status, `{"errors":["permission denied"]}`)
				return true
			}
		}
		if !isLogin(r) {
			if refused {
				reply(w, 403, `{"errors":["permission denied"]}`)
			} else {
				reply(w, 200, goodV2)
			}
			return true
		}
		return i.answer(w, r)
	})
	s.Upstream = open(t, vault.Config{Address: s.edge.URL, Mount: "kv", Version: 2, Login: login, Wall: s.clock.wall})
	return s
}

func (s *stand) accept(valid func(token string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = valid
}

func (s *stand) looks(answer func(token string) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look = answer
}

func (s *stand) read(t *testing.T) error {
	t.Helper()
	_, err := s.Read(t.Context(), "x", secret.Current)
	return err
}

// want checks a read and how many logins and renewals there have been in all.
func (s *stand) want(t *testing.T, doing string, err error, logins, renewals int64) {
	t.Helper()
	if got := s.read(t); !errors.Is(got, err) {
		t.Errorf("%s: got %v, want %v", doing, got, err)
	}
	if l, r := s.logins.Load(), s.renewals.Load(); l != logins || r != renewals {
		t.Errorf("%s: %d logins and %d renewals, want %d and %d", doing, l, r, logins, renewals)
	}
}

func approle() vault.Login { return vault.AppRole("approle", constant("role"), constant("sesame\n")) }

func TestLoginIsLazyAndShared(t *testing.T) {
	s := newStand(t, &issuer{ttl: 3600, hold: make(chan struct{})}, approle())
	if calls := s.edge.asked(); len(calls) != 0 {
		t.Fatalf("New asks the vault %q", calls)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.read(t); err != nil {
				t.Error(err)
			}
		})
	}
	close(s.hold)
	wg.Wait()
	s.want(t, "afterwards", nil, 1, 0)
}

func TestRenewal(t *testing.T) {
	s := newStand(t, &issuer{ttl: 100, renewable: true}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.clock.step(79 * time.Second)
	s.want(t, "with more than a fifth left", nil, 1, 0)
	s.clock.step(2 * time.Second)
	s.want(t, "with less than a fifth left", nil, 1, 1)
	s.clock.step(79 * time.Second)
	s.want(t, "after the renewal", nil, 1, 1)
	s.issuer.ttl = 22 // near the end of its greatest life a renewal brings next to nothing
	s.clock.step(2 * time.Second)
	s.want(t, "with a renewal that brings nothing", nil, 2, 2)
}

func TestTokenThatCannotBeRenewed(t *testing.T) {
	s := newStand(t, &issuer{ttl: 100}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.clock.step(81 * time.Second)
	s.want(t, "with less than a fifth left", nil, 2, 0)
}

// A token that lives is used although it could not be renewed, and the vault is left alone with that for a while.
func TestRenewalFails(t *testing.T) {
	s := newStand(t, &issuer{ttl: 100, renewable: true}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.issuer.refuse.Store(true)
	s.clock.step(85 * time.Second)
	s.edge.asked()
	for range 5 {
		s.want(t, "while it lives", nil, 1, 0)
	}
	if got := strings.Join(s.edge.asked(), "\n"); strings.Count(got, "renew-self") != 1 || strings.Count(got, "approle/login") != 1 {
		t.Errorf("asked\n%s\nwant one renewal and one login", got)
	}
	s.clock.step(6 * time.Second)
	s.want(t, "after the pause", nil, 1, 0)
	if got := strings.Join(s.edge.asked(), "\n"); strings.Count(got, "renew-self") != 1 {
		t.Errorf("asked\n%s\nwant another renewal", got)
	}
	s.clock.step(10 * time.Second)
	s.want(t, "after its end", vault.ErrLogin, 1, 0)
	s.issuer.refuse.Store(false)
	s.want(t, "when logins work again", nil, 2, 0)
}

// A process that was frozen, or whose clock was set back, does not trust what it remembers.
func TestThaw(t *testing.T) {
	s := newStand(t, &issuer{ttl: 100, renewable: true}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.clock.step(time.Hour)
	s.want(t, "after an hour of sleep", nil, 2, 0)
	s.clock.step(-2 * time.Hour)
	s.want(t, "after the clock was set back", nil, 3, 0)
}

func TestTokenWithoutEnd(t *testing.T) {
	s := newStand(t, &issuer{ttl: 0}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.clock.step(1000 * time.Hour)
	s.want(t, "after years", nil, 1, 0)
}

// The vault refuses: one new login, and its refusal is final. Asking again at once costs no login more.
func TestRefusals(t *testing.T) {
	s := newStand(t, &issuer{ttl: 3600}, approle())
	s.accept(func(token string) bool { return token != "t-1" })
	s.want(t, "a token that was revoked", nil, 2, 0)
	s.accept(func(string) bool { return false })
	s.clock.step(11 * time.Second)
	s.edge.asked()
	s.want(t, "denied", secret.ErrDenied, 3, 0)
	if got := len(s.edge.asked()); got != 4 {
		t.Errorf("a denial took %d requests, want 4: two reads, a login and whether the vault knows its token", got)
	}
	for range 10 {
		s.want(t, "denied again at once", secret.ErrDenied, 3, 0)
	}
	if got := len(s.edge.asked()); got != 11 {
		t.Errorf("ten more took %d requests, want 11: one asks whether the token lives", got)
	}
	s.clock.step(11 * time.Second)
	s.want(t, "denied later", secret.ErrDenied, 4, 0)
	s.clock.step(11 * time.Second)
	s.issuer.refuse.Store(true)
	err := s.read(t)
	wantKind(t, "denied, and the login fails", err, vault.ErrLogin)
}

// Soon after a new login a refusal is final only if the vault still knows the token.
func TestRevokedSoonAfterALogin(t *testing.T) {
	for name, row := range map[string]struct {
		looks  func(token string) int // of the third and later ones
		want   error
		logins int64
	}{
		"it lives":          {func(string) int { return 200 }, secret.ErrDenied, 2},
		"revoked":           {func(token string) int { return map[bool]int{true: 200, false: 403}[token == "t-3"] }, nil, 3},
		"nobody knows":      {func(string) int { return 503 }, secret.ErrUnavailable, 2},
		"it may never look": {nil, secret.ErrDenied, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, &issuer{ttl: 3600}, approle())
			s.accept(func(token string) bool { return token != "t-1" })
			s.looks(func(string) int {
				if row.looks == nil {
					return 403
				}
				return 200
			})
			s.want(t, "at first", nil, 2, 0)
			if row.looks != nil {
				s.looks(row.looks)
			}
			s.accept(func(token string) bool { return token == "t-3" })
			s.want(t, "refused", row.want, row.logins, 0)
		})
	}
}

// A herd of refused requests shares one new login.
func TestRefusedHerd(t *testing.T) {
	s := newStand(t, &issuer{ttl: 3600}, approle())
	s.want(t, "at first", nil, 1, 0)
	s.accept(func(token string) bool { return token != "t-1" })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.read(t); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.want(t, "afterwards", nil, 2, 0)
}

// Who waits for a login that fails has its answer, and does not try the same again.
func TestFailedLoginIsShared(t *testing.T) {
	s := newStand(t, &issuer{ttl: 3600, hold: make(chan struct{})}, approle())
	s.issuer.refuse.Store(true)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wantKind(t, "reading", s.read(t), vault.ErrLogin) })
	}
	s.edge.await()
	close(s.hold)
	wg.Wait()
	if got := len(s.edge.asked()); got >= 20 {
		t.Errorf("20 readers made %d logins", got)
	}
}

// The caller who logs in goes away; the one who waits gets in all the same. Who cannot wait any longer does not.
func TestLoginOutlivesItsCaller(t *testing.T) {
	s := newStand(t, &issuer{ttl: 3600, hold: make(chan struct{})}, approle())
	first, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Read(first, "x", secret.Current)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v, want %v", err, context.Canceled)
		}
	})
	s.edge.await()
	wg.Go(func() {
		if err := s.read(t); err != nil {
			t.Errorf("the second: %v", err)
		}
	})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Read(short, "x", secret.Current)
	wantKind(t, "the third", err, secret.ErrTimeout)
	leave()
	close(s.hold)
	wg.Wait()
	s.want(t, "afterwards", nil, s.logins.Load(), 0)
}

// While a token is renewed, others go on with it.
func TestRenewalKeepsNobodyWaiting(t *testing.T) {
	i := &issuer{ttl: 100, renewable: true}
	s := newStand(t, i, approle())
	s.want(t, "at first", nil, 1, 0)
	hold := make(chan struct{})
	s.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		if isLogin(r) {
			<-hold
			return i.answer(w, r)
		}
		reply(w, 200, goodV2)
		return true
	})
	s.clock.step(85 * time.Second)
	s.edge.asked()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.read(t); err != nil {
			t.Errorf("who renews: %v", err)
		}
	})
	s.edge.await()
	if err := s.read(t); err != nil {
		t.Errorf("while another renews: %v", err)
	}
	close(hold)
	wg.Wait()
	s.want(t, "afterwards", nil, 1, 1)
}

func TestTokenFromFile(t *testing.T) {
	var mu sync.Mutex
	token, fails := "first\n", error(nil)
	source := func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return []byte(token), fails
	}
	set := func(s string, err error) {
		mu.Lock()
		defer mu.Unlock()
		token, fails = s, err
	}
	s := newStand(t, &issuer{ttl: 100, renewable: true}, vault.TokenFrom(source))
	s.accept(func(got string) bool { return got == "first" })
	s.want(t, "at first", nil, 1, 0)
	s.clock.step(81 * time.Second)
	s.want(t, "with less than a fifth left", nil, 1, 1)
	s.accept(func(got string) bool { return got == "second" })
	set(" second ", nil)
	s.want(t, "after it was exchanged", nil, 2, 1)
	// The token is valid, as its look-up says: then the refusal is meant.
	s.clock.step(11 * time.Second)
	s.accept(func(string) bool { return false })
	s.want(t, "denied", secret.ErrDenied, 3, 1)
	// The vault does not know the token any more: that says nothing about the secret.
	s.clock.step(11 * time.Second)
	s.issuer.refuse.Store(true)
	wantKind(t, "after its end", s.read(t), vault.ErrLogin)
	s.issuer.refuse.Store(false)
	for name, set := range map[string]func(){
		"gone": func() { set("", errors.New("no such file")) }, "empty": func() { set(" \n", nil) }, "two lines": func() { set("a\nb", nil) },
		"endless": func() { set(strings.Repeat("x", 1<<20), nil) },
	} {
		set()
		s.clock.step(11 * time.Second)
		wantKind(t, "a token that is "+name, s.read(t), vault.ErrLogin)
	}
}

// A failed login shows nothing of what it was made with.
func TestErrorsShowNoCredentials(t *testing.T) {
	s := newStand(t, &issuer{}, vault.AppRole("approle", constant("canary-role"), constant("canary-secret")))
	s.edge.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		body := new(strings.Builder)
		_ = r.Write(body)
		reply(w, 400, `{"errors":["canary-vault"]}`)
		return true
	})
	err := s.read(t)
	wantKind(t, "logging in", err, vault.ErrLogin)
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error is %q", err)
	}
}

// Bad answers to a login are failures of the vault.
func TestBadLogins(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"no content":    {204, ``, vault.ErrMalformed},
		"no auth":       {200, `{"auth":null}`, vault.ErrMalformed},
		"no token":      {200, `{"auth":{"client_token":"","lease_duration":1}}`, vault.ErrMalformed},
		"no ttl":        {200, `{"auth":{"client_token":"t"}}`, vault.ErrMalformed},
		"negative ttl":  {200, `{"auth":{"client_token":"t","lease_duration":-1}}`, vault.ErrMalformed},
		"token of two":  {200, `{"auth":{"client_token":"a\r\nb","lease_duration":1}}`, vault.ErrLogin},
		"no such mount": {404, `{"errors":[]}`, vault.ErrLogin},
		"page":          {200, `<html>`, vault.ErrLogin},
		"refused":       {400, `{"errors":["invalid role or secret ID"]}`, vault.ErrLogin},
		"sealed":        {503, `{"errors":["sealed"]}`, secret.ErrUnavailable},
		"quota":         {429, `{"errors":["quota"]}`, secret.ErrThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, &issuer{}, approle())
			s.edge.interpose(func(w http.ResponseWriter, _ *http.Request) bool { reply(w, answer.status, answer.body); return true })
			wantKind(t, "reading", s.read(t), answer.want)
		})
	}
}
