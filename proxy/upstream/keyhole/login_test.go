package keyhole_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

// clock is a wall clock that stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Second)} }

func (c *clock) wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) mono() time.Duration { return time.Duration(c.wall().UnixNano()) }

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

const (
	reading   = "GET /v1/secrets/a"
	loggingIn = "POST /v1/token"
)

func (r *region) wantAsked(t *testing.T, doing string, want ...string) {
	t.Helper()
	if got := r.asked(); !slices.Equal(got, want) {
		t.Errorf("%s: asked %q, want %q", doing, got, want)
	}
}

// One login serves all reads until it nears its end, and who come together share it.
func TestAccessTokenIsKept(t *testing.T) {
	c := newClock()
	r := newRegion(t, proxytest.Options{Wall: c.wall, Mono: c.mono})
	r.put(t, "a", "v")
	config := r.config(r.byKey())
	config.Wall = c.wall
	u := open(t, config)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { read(t, u, "a") })
	}
	wg.Wait()
	if got := r.asked(); got[0] != loggingIn || slices.Contains(got[1:], loggingIn) || len(got) != 9 {
		t.Errorf("asked %q, want one login and 8 reads", got)
	}
	c.pass(12*time.Minute - time.Second) // tokens live for 15 minutes
	read(t, u, "a")
	r.wantAsked(t, "just before it is renewed", reading)
	c.pass(time.Second)
	read(t, u, "a")
	r.wantAsked(t, "at four fifths of its life", loggingIn, reading)
	c.pass(time.Hour)
	read(t, u, "a")
	r.wantAsked(t, "after it ended", loggingIn, reading)
}

// A refusal is believed after one new login, and refusals that follow at once cost none.
func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		status int
		code   string
		want   error
		logins bool // one is made
	}{
		{401, "token_revoked", keyhole.ErrLogin, true},
		{403, "scope_denied", secret.ErrDenied, true},
		{403, "revoked", secret.ErrDenied, false},
		{404, "not_found", secret.ErrNotFound, false},
		{502, "upstream_error", secret.ErrUnreadable, false},
	} {
		t.Run(row.code, func(t *testing.T) {
			c := newClock()
			r := newRegion(t, proxytest.Options{Wall: c.wall, Mono: c.mono})
			r.put(t, "a", "v")
			config := r.config(r.byKey())
			config.Wall = c.wall
			u := open(t, config)
			read(t, u, "a")
			r.asked()
			r.interpose(always(row.status, failure(row.code)))
			try := func(doing string, want ...string) {
				t.Helper()
				if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, row.want) || errors.Is(err, secret.ErrDenied) != errors.Is(row.want, secret.ErrDenied) {
					t.Errorf("%s: got %v, want %v", doing, err, row.want)
				}
				r.wantAsked(t, doing, want...)
			}
			again := []string{reading}
			if row.logins {
				again = []string{reading, loggingIn, reading}
			}
			try("first", again...)
			try("at once", reading)
			c.pass(time.Minute)
			try("a minute later", again...)
			r.interpose(nil)
			read(t, u, "a")
		})
	}
}

// A new token of who writes it is read when the old one is not taken any more; the same one is not sent twice.
func TestTokenIsReadAgain(t *testing.T) {
	token := "one"
	r := bare(t, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Authorization") != "Bearer two" {
			reply(w, 401, failure("token_expired"))
			return true
		}
		reply(w, 200, answer())
		return true
	})
	u := open(t, r.config(keyhole.TokenFrom(func() ([]byte, error) { return []byte(" " + token + "\n"), nil })))
	if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, keyhole.ErrLogin) {
		t.Errorf("got %v", err)
	}
	r.wantAsked(t, "the same token", reading)
	c := newClock()
	config := r.config(keyhole.TokenFrom(func() ([]byte, error) { return []byte(token), nil }))
	config.Wall = c.wall
	u = open(t, config)
	if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, keyhole.ErrLogin) {
		t.Errorf("got %v", err)
	}
	token = "two"
	c.pass(time.Minute)
	r.asked()
	read(t, u, "a")
	r.wantAsked(t, "another token", reading, reading)
	for _, bad := range []string{"", "a b", "a\r\nb", strings.Repeat("x", 9<<10)} {
		u := open(t, r.config(keyhole.TokenFrom(constant(bad))))
		if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, keyhole.ErrLogin) {
			t.Errorf("%.10q: got %v", bad, err)
		}
	}
	u = open(t, r.config(keyhole.TokenFrom(func() ([]byte, error) { return nil, errors.New("no such file") })))
	if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, keyhole.ErrLogin) {
		t.Errorf("got %v", err)
	}
}

// An answer to a request for a token that is none is a failed login, and tells nothing about a secret.
func TestGrants(t *testing.T) {
	for body, status := range map[string]int{
		`{"access_token":"t","token_type":"Bearer","expires_in":0}`: 200, `{"access_token":"","token_type":"Bearer","expires_in":9}`: 200,
		`{"access_token":"t","token_type":"DPoP","expires_in":9}`: 200, `{"token_type":"Bearer","expires_in":9}`: 200, `<html>`: 200,
		`{"error":"invalid_client"}`: 401, `{"error":"invalid_scope"}`: 400, `<html>404`: 404, failure("not_found"): 404, failure("policy_denied"): 403, failure("rate_limited"): 429,
	} {
		r := bare(t, func(w http.ResponseWriter, _ *http.Request) bool { reply(w, status, body); return true })
		u := open(t, r.config(keyhole.Assertion(func(time.Time) (string, error) { return "signed", nil })))
		_, err := u.Read(t.Context(), "a", secret.Current)
		if err == nil || errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrThrottled) != (status == 429) || strings.Contains(err.Error(), canary) {
			t.Errorf("%d %s: got %v", status, body, err)
		}
		r.wantAsked(t, body, loggingIn)
	}
}

// Where the region asks to wait it is left alone that long, and the failure is one.
func TestRetryAfter(t *testing.T) {
	for _, status := range []int{429, 503} {
		c := newClock()
		code, wait := map[int]string{429: "rate_limited", 503: "overloaded"}[status], "7"
		r := bare(t, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", wait)
			reply(w, status, failure(code))
			return true
		})
		config := r.config(keyhole.TokenFrom(constant("t")))
		config.Wall = c.wall
		u := open(t, config)
		want := map[int]error{429: secret.ErrThrottled, 503: secret.ErrUnavailable}[status]
		try := func(doing string, asked int) {
			t.Helper()
			if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", doing, err, want)
			}
			if got := len(r.asked()); got != asked {
				t.Errorf("%s: asked %d times, want %d", doing, got, asked)
			}
		}
		try("first", 1)
		c.pass(7*time.Second - time.Millisecond)
		try("too early", 0)
		c.pass(time.Millisecond)
		wait = "9999"
		try("in time", 1)
		c.pass(30*time.Second - time.Millisecond)
		try("a long wait", 0)
		c.pass(time.Millisecond)
		wait = "soon"
		try("no longer than 30 s", 1)
		try("what cannot be understood asks nothing", 1)
	}
}

// A region that gives no more tokens for a while is left alone with that, and read with the token that we have.
func TestRetryAfterOfLogins(t *testing.T) {
	c := newClock()
	r := newRegion(t, proxytest.Options{Wall: c.wall, Mono: c.mono})
	r.put(t, "a", "v")
	config := r.config(r.byKey())
	config.Wall = c.wall
	u := open(t, config)
	read(t, u, "a")
	r.interpose(func(w http.ResponseWriter, req *http.Request) bool {
		if isLogin(req) {
			w.Header().Set("Retry-After", "20")
			reply(w, 429, failure("rate_limited"))
		}
		return isLogin(req)
	})
	r.asked()
	c.pass(12 * time.Minute) // it is to be renewed
	read(t, u, "a")
	r.wantAsked(t, "at the time", loggingIn, reading)
	c.pass(10 * time.Second)
	read(t, u, "a")
	r.wantAsked(t, "too early", reading)
	c.pass(10 * time.Second)
	read(t, u, "a")
	r.wantAsked(t, "in time", loggingIn, reading)
}

// With the identity that AWS gives, a region takes the token that AWS signed, as its trust rule says.
func TestAWS(t *testing.T) {
	c := newClock()
	r := newRegion(t, proxytest.Options{Wall: c.wall, Mono: c.mono})
	r.put(t, "a", "v")
	emu, url := awsemu.Start(t)
	emu.SetWall(c.wall)
	login := func(audience string) keyhole.Config {
		w, err := awsjson.NewWebIdentity(awsjson.Config{
			Region: awsemu.Region, STSEndpoint: url, Wall: c.wall,
			Credentials: awsjson.Environment(func(name string) string {
				return map[string]string{"AWS_ACCESS_KEY_ID": awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY": awsemu.SecretKey}[name]
			}),
		}, audience, awsjson.ES384)
		if err != nil {
			t.Fatal(err)
		}
		config := r.config(keyhole.WebIdentity(w))
		config.Wall = c.wall
		return config
	}
	u := open(t, login(issuer))
	if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, awsjson.ErrLogin) || !strings.Contains(fmt.Sprint(err), "OutboundWebIdentityFederationDisabled") {
		t.Errorf("not enabled: got %v", err)
	}
	emu.Federate(awsemu.Federation{Issuer: awsIss, Key: r.aws, Role: awsRole})
	for range 3 {
		if s := read(t, u, "a"); string(s.Value.Reveal()) != "v" {
			t.Errorf("got %q", s.Value.Reveal())
		}
	}
	tokens := func() (n int) {
		for _, call := range emu.Calls() {
			if call.Action == "sts:GetWebIdentityToken" {
				n++
			}
		}
		return n
	}
	if got := tokens(); got != 2 { // the one that was refused, and one for all reads
		t.Errorf("%d tokens asked for, want 2", got)
	}
	c.pass(5 * time.Minute)
	read(t, u, "a")
	if got := tokens(); got != 1 {
		t.Errorf("after its end: %d tokens asked for, want 1", got)
	}
	other := open(t, login("https://other.example"))
	if _, err := other.Read(t.Context(), "a", secret.Current); !errors.Is(err, keyhole.ErrLogin) {
		t.Errorf("for another audience: got %v", err)
	}
	emu.Deny(func(call awsemu.Call) bool { return call.Action == "sts:GetWebIdentityToken" })
	denied := open(t, login(issuer))
	if _, err := denied.Read(t.Context(), "a", secret.Current); !errors.Is(err, awsjson.ErrLogin) || errors.Is(err, secret.ErrDenied) {
		t.Errorf("without the permission: got %v", err)
	}
	for _, bad := range [][2]string{{"", "ES384"}, {"a b", "ES384"}, {"a", "HS256"}} {
		if _, err := awsjson.NewWebIdentity(awsjson.Config{Region: "eu-west-1", Credentials: awsjson.Environment(func(string) string { return "" })}, bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A connection that was idle for long by the wall clock is not used again: the other side may have forgotten it.
func TestThawMakesConnectionsAnew(t *testing.T) {
	c := newClock()
	var from []string
	r := bare(t, func(w http.ResponseWriter, req *http.Request) bool {
		from = append(from, req.RemoteAddr)
		reply(w, 200, answer())
		return true
	})
	config := r.config(keyhole.TokenFrom(constant("t")))
	config.Wall = c.wall
	u := open(t, config)
	for range 6 {
		c.pass(time.Second)
		read(t, u, "a")
	}
	// A busy machine may lose one: net/http waits for 50 ms to hear that a request has been written whole.
	if len(slices.Compact(from)) > 3 {
		t.Errorf("without long pauses the connections were %q", from)
	}
	for range 3 {
		from = nil
		read(t, u, "a")
		c.pass(2 * time.Minute)
		read(t, u, "a")
		if from[0] == from[1] {
			t.Errorf("after a long pause the connection was %q again", from[0])
		}
	}
}
