package proxy_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// tries sends n tokens and counts the answers.
func tries(t testing.TB, h *harness, n int, call func(int) *proxy.Call) map[api.Code]int {
	t.Helper()
	codes := map[api.Code]int{}
	for i := range n {
		_, code := h.read(t, call(i), "one/KEY")
		codes[code]++
	}
	return codes
}

// Whoever guesses is held back after 20 failures a second, whatever the failure is and without any limit being set, and
// after that nothing is computed for the next guess.
func TestFailedAuthenticationIsHeldBack(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	stranger := oidcemu.NewKey("EdDSA", "2")
	for name, row := range map[string]struct {
		want      api.Code
		assertion bool
		token     func(h *harness, i int) string
	}{
		"nonsense":  {want: api.TokenInvalid, token: func(_ *harness, i int) string { return strconv.Itoa(i) }},
		"bad":       {want: api.TokenInvalid, token: func(h *harness, i int) string { return h.call(t, "read:**").Token + strconv.Itoa(i) }},
		"too large": {want: api.TokenInvalid, token: func(_ *harness, i int) string { return strconv.Itoa(i) + string(make([]byte, identity.MaxTokenBytes)) }},
		"expired": {want: api.TokenExpired, token: func(h *harness, _ int) string {
			return h.call(t, "read:**", func(c *identity.Claims) {
				c.IssuedAt, c.Expires = c.IssuedAt.Add(-time.Hour), c.IssuedAt.Add(-time.Minute)
			}).Token
		}},
		"unknown key": {want: api.UnknownKey, token: func(h *harness, i int) string {
			return stranger.Sign(map[string]any{"iss": platformIssuer, "jti": strconv.Itoa(i)})
		}},
		"unknown project token": {want: api.TokenInvalid, token: func(*harness, int) string {
			token, err := identity.NewProjectToken("production")
			must(t, err)
			return token
		}},
		"refused assertion": {want: api.TokenInvalid, assertion: true, token: func(h *harness, i int) string {
			now := h.clock.Wall().Unix()
			return key.Sign(map[string]any{"iss": "railway-web", "sub": "other", "aud": "https://k.test", "jti": strconv.Itoa(i), "iat": now, "exp": now + 60})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, takingPlatforms(t, key))
			try := func(i int) api.Code {
				c := &proxy.Call{Token: row.token(h, i), SourceIP: "192.0.2.9"}
				_, err := h.Exchange(t.Context(), c, proxy.ExchangeRequest{Assertion: row.assertion})
				return codeOf(t, err)
			}
			for i := range proxy.FailureRate {
				if code := try(i); code != row.want {
					t.Fatalf("try %d: got %q, want %q", i+1, code, row.want)
				}
			}
			for i := range 10 {
				if code := try(proxy.FailureRate + i); code != api.RateLimited {
					t.Fatalf("got %q, want rate_limited", code)
				}
			}
			_, err := h.Whoami(t.Context(), &proxy.Call{Token: "x", SourceIP: "192.0.2.9"})
			var e *proxy.Error
			if !errors.As(err, &e) || e.RetryAfter != time.Second/proxy.FailureRate {
				t.Fatalf("got %+v", e)
			}
			if n := h.records(`"action":"authenticate"`, `"status":429`, `"token_id":"sha256:`); n != 11 {
				t.Errorf("%d refusals are recorded, want 11", n)
			}
			h.clock.pass(e.RetryAfter, e.RetryAfter)
			if a, b := try(100), try(101); a != row.want || b != api.RateLimited {
				t.Errorf("after the time it was told to wait: got %q, then %q", a, b)
			}
			if _, code := h.read(t, h.call(t, "read:**"), "one/KEY"); code != "" {
				t.Errorf("from another address: got %q", code)
			}
		})
	}
}

// While one behind an address guesses, its neighbours there go on: tokens that verified before pass, for as long as they
// last, and so do all project tokens. One that was not seen waits until there is place.
func TestHoldingBackSparesGoodTokens(t *testing.T) {
	h := newHarness(t, nil)
	seen, other := h.call(t, "read:**"), h.call(t, "read:**")
	project, code := createToken(t, h, h.call(t, "revoke:** read:**"))
	if code != "" {
		t.Fatal(code)
	}
	if _, code := h.read(t, seen, "one/KEY"); code != "" {
		t.Fatal(code)
	}
	guess := func(i int) *proxy.Call { return &proxy.Call{Token: strconv.Itoa(i), SourceIP: seen.SourceIP} }
	for range 5 {
		tries(t, h, proxy.FailureRate, guess)
		// A verification is used for a minute. That it was made is remembered for longer.
		if codes := tries(t, h, 100, func(int) *proxy.Call { return seen }); codes[""] != 100 {
			t.Errorf("seen before: got %v", codes)
		}
		if codes := tries(t, h, 100, func(int) *proxy.Call { return &proxy.Call{Token: project, SourceIP: seen.SourceIP} }); codes[""] != 100 {
			t.Errorf("a project token: got %v", codes)
		}
		if _, code := h.read(t, other, "one/KEY"); code != api.RateLimited {
			t.Errorf("not seen before: got %q, want rate_limited", code)
		}
		h.clock.pass(61*time.Second, 61*time.Second)
	}
	if codes := tries(t, h, 100, func(int) *proxy.Call { return h.call(t, "read:**") }); codes[""] != 100 {
		t.Errorf("a hundred new tokens when nobody guesses: got %v", codes)
	}
	// What is remembered ends with the token.
	h.clock.pass(time.Hour, time.Hour)
	tries(t, h, proxy.FailureRate, guess)
	if codes := tries(t, h, 3, func(int) *proxy.Call { return seen }); codes[api.TokenExpired] != 1 || codes[api.RateLimited] != 2 {
		t.Errorf("an expired one that was seen: got %v", codes)
	}
}

// Kids that nobody has, however many, keep nobody behind the same address waiting whose key is known: neither tokens that were
// not seen before nor their exchange. Wrong signatures by known keys do.
func TestUnknownKeysHoldBackNoKnownOnes(t *testing.T) {
	key, stranger := oidcemu.NewKey("EdDSA", "1"), oidcemu.NewKey("EdDSA", "2")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall()
	sign := func(k *oidcemu.Key, i int) *proxy.Call {
		return &proxy.Call{SourceIP: "192.0.2.1", Token: k.Sign(map[string]any{
			"iss": platformIssuer, "sub": "project:web", "aud": "https://k.test", "project_id": "prj_1", "jti": strconv.Itoa(i),
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		})}
	}
	codes := tries(t, h, 100, func(i int) *proxy.Call { return sign(stranger, i) })
	if codes[api.UnknownKey] != proxy.FailureRate || codes[api.RateLimited] != 100-proxy.FailureRate {
		t.Errorf("unknown keys: got %v", codes)
	}
	if codes := tries(t, h, 100, func(i int) *proxy.Call { return sign(key, 1000+i) }); codes[""] != 100 {
		t.Errorf("a known key of the same issuer: got %v, want no error", codes)
	}
	if _, code := h.exchange(t, sign(key, 2000).Token, proxy.ExchangeRequest{}); code != "" {
		t.Errorf("exchange: got %q", code)
	}
	own := h.call(t, "read:**")
	if _, code := h.read(t, own, "one/KEY"); code != "" {
		t.Errorf("a new access token: got %q", code)
	}
	bad := sign(key, 3000).Token
	forged := func(i int) *proxy.Call {
		return &proxy.Call{SourceIP: "192.0.2.1", Token: bad[:len(bad)-8] + fmt.Sprintf("%07d", i) + "A"}
	}
	if codes := tries(t, h, 100, forged); codes[api.TokenInvalid] != proxy.FailureRate || codes[api.RateLimited] != 100-proxy.FailureRate {
		t.Errorf("wrong signatures: got %v", codes)
	}
	if _, code := h.read(t, sign(key, 4000), "one/KEY"); code != api.RateLimited {
		t.Errorf("a token that was not seen, while signatures are guessed: got %q", code)
	}
}

// A client that keeps sending a token that has expired stops itself, not its neighbours.
func TestOneBadTokenDoesNotHoldBackItsNeighbours(t *testing.T) {
	h := newHarness(t, nil)
	bad := &proxy.Call{Token: "stale", SourceIP: "192.0.2.1"}
	for range 5 {
		codes := tries(t, h, 100, func(int) *proxy.Call { return bad })
		if codes[api.TokenInvalid] != proxy.TokenFailureRate || codes[api.RateLimited] != 100-proxy.TokenFailureRate {
			t.Errorf("got %v", codes)
		}
		if _, code := h.read(t, h.call(t, "read:**"), "one/KEY"); code != "" {
			t.Errorf("a new token from the same address: got %q", code)
		}
		h.clock.pass(time.Second, time.Second)
	}
}

// That this node cannot tell is nobody's failure, and neither is a good token that may not do something.
func TestOnlyFailuresCount(t *testing.T) {
	h := newHarness(t, nil)
	project, code := createToken(t, h, h.call(t, "revoke:** read:**"))
	if code != "" {
		t.Fatal(code)
	}
	stranger, err := identity.NewProjectToken("production")
	must(t, err)
	h.clock.pass(time.Minute, time.Minute)
	h.store.fail.Store(true)
	for _, token := range []string{project, stranger} {
		codes := tries(t, h, 50, func(int) *proxy.Call { return &proxy.Call{Token: token, SourceIP: "192.0.2.1"} })
		if codes[api.StateUnavailable] != 50 {
			t.Errorf("got %v, want state_unavailable", codes)
		}
	}
	h.store.fail.Store(false)
	none := h.call(t, "read:two/*")
	if codes := tries(t, h, 50, func(int) *proxy.Call { return none }); codes[api.ScopeDenied] != 50 {
		t.Errorf("got %v, want scope_denied", codes)
	}
	if _, code := h.read(t, h.call(t, "read:**"), "one/KEY"); code != "" {
		t.Errorf("got %q", code)
	}
}

// A source that is held back costs no read of the state store.
func TestHoldingBackLooksNothingUp(t *testing.T) {
	h := newHarness(t, nil)
	stranger := func(int) *proxy.Call {
		token, err := identity.NewProjectToken("production")
		must(t, err)
		return &proxy.Call{Token: token, SourceIP: "192.0.2.1"}
	}
	tries(t, h, 2*proxy.FailureRate, stranger)
	h.clock.pass(2*time.Second, 0) // by the wall clock the last check is too old
	before := h.store.reads.Load()
	if codes := tries(t, h, 10, stranger); codes[api.RateLimited] != 10 || h.store.reads.Load() != before {
		t.Errorf("got %v and %d reads of the store", codes, h.store.reads.Load()-before)
	}
}

// A flood of failures is counted in the log, not written line by line, also where tokens are exchanged.
func TestFloodOfFailedExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		for i := range 500 {
			h.exchange(t, strconv.Itoa(i), proxy.ExchangeRequest{})
		}
		if n := h.records(`"code":"token_invalid"`); n != proxy.FailureRate {
			t.Errorf("%d failures are recorded, want %d", n, proxy.FailureRate)
		}
		if n := h.records(`"status":429`); n != 31 {
			t.Errorf("%d records of 480 refusals, want the rest of the fifty that are listed, and one for all others", n)
		}
		must(t, h.log.Close())
		if h.records(`"kind":"aggregate"`, `"pair":`, "rate_limited ") == 0 {
			t.Error("no count tells of the rest")
		}
	})
}

// What is remembered of failures is bounded, however many sources and tokens there are.
func TestFailuresAreBounded(t *testing.T) {
	f := proxy.NewFailures()
	for i := range 3 * proxy.MaxBuckets {
		f.Note("10."+strconv.Itoa(i>>16)+"."+strconv.Itoa(i>>8&255)+"."+strconv.Itoa(i&255), strconv.Itoa(i), time.Second)
	}
	if n := f.Len(); n > proxy.MaxBuckets {
		t.Errorf("%d buckets, want at most %d", n, proxy.MaxBuckets)
	}
}

// Tokens are issued at a rate to each principal and each source, whatever the limits are. Who has to wait loses nothing:
// an assertion that was not taken can be sent again.
func TestExchangesAreLimited(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	exchange := func(token, from string, assertion bool) api.Code {
		_, err := h.Exchange(t.Context(), &proxy.Call{Token: token, SourceIP: from}, proxy.ExchangeRequest{Assertion: assertion})
		if err != nil {
			return codeOf(t, err)
		}
		return ""
	}
	jti := 0
	assertion := func() string {
		jti++
		now := h.clock.Wall().Unix()
		return key.Sign(map[string]any{"iss": "railway-web", "sub": "railway-web", "aud": "https://k.test", "jti": strconv.Itoa(jti), "iat": now, "exp": now + 60})
	}
	for i := range proxy.ExchangesPerPrincipal {
		if code := exchange(assertion(), "192.0.2."+strconv.Itoa(i), true); code != "" {
			t.Fatalf("exchange %d: got %q", i+1, code)
		}
	}
	waits := assertion()
	if code := exchange(waits, "192.0.2.200", true); code != api.RateLimited {
		t.Errorf("got %q, want rate_limited", code)
	}
	h.clock.pass(time.Second, time.Second)
	if code := exchange(waits, "192.0.2.200", true); code != "" {
		t.Errorf("the same assertion a second later: got %q", code)
	}
	issued := func() (n int) {
		for i := range 3 * proxy.ExchangesPerSource {
			c := h.call(t, "read:**", func(c *identity.Claims) { c.Subject = strconv.Itoa(i) })
			if exchange(c.Token, "198.51.100.1", false) == "" {
				n++
			}
		}
		return n
	}
	if n := issued(); n != proxy.ExchangesPerSource {
		t.Errorf("%d tokens went to one address, want %d", n, proxy.ExchangesPerSource)
	}
	if n := h.records(`"action":"token_exchange"`, `"status":429`, `"sub":"railway-web"`); n != 1 {
		t.Errorf("%d refusals of the principal are recorded, want 1", n)
	}
	// One principal that is over its rate does not use up that of the address.
	h.clock.pass(time.Second, time.Second)
	one := h.call(t, "read:**")
	for range 5 * proxy.ExchangesPerSource {
		exchange(one.Token, "198.51.100.1", false)
	}
	if code := exchange(h.call(t, "read:**", func(c *identity.Claims) { c.Subject = "neighbour" }).Token, "198.51.100.1", false); code != "" {
		t.Errorf("a neighbour: got %q", code)
	}
}

// An assertion that is used again is a failure like others.
func TestReplayedAssertionsAreHeldBack(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "1")
	h := newHarness(t, takingPlatforms(t, key))
	now := h.clock.Wall().Unix()
	token := key.Sign(map[string]any{"iss": "railway-web", "sub": "railway-web", "aud": "https://k.test", "jti": "1", "iat": now, "exp": now + 60})
	codes := map[api.Code]int{}
	for range 50 {
		_, code := h.exchange(t, token, proxy.ExchangeRequest{Assertion: true})
		codes[code]++
	}
	if codes[""] != 1 || codes[api.TokenInvalid] != proxy.TokenFailureRate || codes[api.RateLimited] != 49-proxy.TokenFailureRate {
		t.Errorf("got %v", codes)
	}
}

// Behind a load balancer that tells no addresses, whoever sends nonsense keeps nobody from coming with a first good token.
func TestFailuresOfNobodyInParticularHoldBackNobodyElse(t *testing.T) {
	h := newHarness(t, nil)
	bad := func(token string) *proxy.Call { return &proxy.Call{Token: token} }
	got := tries(t, h, 2*proxy.FailureRate, func(i int) *proxy.Call { return bad(strconv.Itoa(i)) })
	if got[api.TokenInvalid] != 2*proxy.FailureRate {
		t.Errorf("got %v", got)
	}
	good := h.call(t, "read:one/*")
	good.SourceIP = ""
	if v, code := h.read(t, good, "one/KEY"); v != canary {
		t.Errorf("a good token: got %q %q", v, code)
	}
	// One token is held back all the same.
	if got := tries(t, h, proxy.FailureRate, func(int) *proxy.Call { return bad("again") }); got[api.RateLimited] == 0 {
		t.Errorf("one token again and again: got %v", got)
	}
}
