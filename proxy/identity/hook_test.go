package identity_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var hookNow = time.Unix(1_800_000_000, 0)

func hookKey(c byte) []byte { return bytes.Repeat([]byte{c}, identity.MinHookKeyBytes) }

func signMessage(key []byte, m identity.HookMessage) identity.HookMessage {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(m.Timestamp + "." + string(m.Body)))
	m.Signature = hex.EncodeToString(h.Sum(nil))
	return m
}

func message(name string, at time.Time) identity.HookMessage {
	return identity.HookMessage{Name: name, Timestamp: strconv.FormatInt(at.Unix(), 10), Body: []byte(`{"path":"a/B"}`)}
}

func hooks(t *testing.T) *identity.Hooks {
	t.Helper()
	h, err := identity.NewHooks([]identity.HookConfig{
		{Name: "ci", Keys: [][]byte{append(hookKey('n'), '\n'), hookKey('o')}, Allow: []secret.Pattern{secret.Everything()}},
		{Name: "other", Keys: [][]byte{hookKey('x')}, Allow: []secret.Pattern{secret.Everything()}, MaxAge: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHookMessages(t *testing.T) {
	h := hooks(t)
	good := signMessage(hookKey('n'), message("ci", hookNow))
	edit := func(f func(*identity.HookMessage)) identity.HookMessage {
		m := good
		f(&m)
		return m
	}
	for name, row := range map[string]struct {
		m    identity.HookMessage
		want error
	}{
		"good":              {good, nil},
		"the old key":       {signMessage(hookKey('o'), message("ci", hookNow)), nil},
		"just old enough":   {signMessage(hookKey('n'), message("ci", hookNow.Add(-5*time.Minute))), nil},
		"just ahead enough": {signMessage(hookKey('n'), message("ci", hookNow.Add(5*time.Minute))), nil},
		"too old":           {signMessage(hookKey('n'), message("ci", hookNow.Add(-5*time.Minute-time.Second))), identity.ErrExpired},
		"too far ahead":     {signMessage(hookKey('n'), message("ci", hookNow.Add(5*time.Minute+time.Second))), identity.ErrExpired},
		"its own window":    {signMessage(hookKey('x'), message("other", hookNow.Add(-2*time.Second))), identity.ErrExpired},
		"another hook's":    {signMessage(hookKey('x'), message("ci", hookNow)), identity.ErrInvalid},
		"of no hook":        {signMessage(hookKey('n'), message("none", hookNow)), identity.ErrInvalid},
		"of no hook, zeros": {signMessage(make([]byte, identity.MinHookKeyBytes), message("none", hookNow)), identity.ErrInvalid},
		"another body":      {edit(func(m *identity.HookMessage) { m.Body = []byte(`{"path":"a/C"}`) }), identity.ErrInvalid},
		"another time":      {edit(func(m *identity.HookMessage) { m.Timestamp = strconv.FormatInt(hookNow.Unix()+1, 10) }), identity.ErrInvalid},
		"a moved point":     {edit(func(m *identity.HookMessage) { m.Timestamp, m.Body = m.Timestamp+`.{"path":"a`, []byte(`B"}`) }), identity.ErrInvalid},
		"no signature":      {edit(func(m *identity.HookMessage) { m.Signature = "" }), identity.ErrInvalid},
		"half a signature":  {edit(func(m *identity.HookMessage) { m.Signature = m.Signature[:32] }), identity.ErrInvalid},
		"upper case":        {edit(func(m *identity.HookMessage) { m.Signature = strings.ToUpper(m.Signature) }), identity.ErrInvalid},
		"a plus":            {signMessage(hookKey('n'), identity.HookMessage{Name: "ci", Timestamp: "+1800000000"}), identity.ErrInvalid},
		"a leading zero":    {signMessage(hookKey('n'), identity.HookMessage{Name: "ci", Timestamp: "01800000000"}), identity.ErrInvalid},
		"no time":           {signMessage(hookKey('n'), identity.HookMessage{Name: "ci"}), identity.ErrInvalid},
		"far times":         {signMessage(hookKey('n'), identity.HookMessage{Name: "ci", Timestamp: "9223372036854775807"}), identity.ErrInvalid},
	} {
		v, err := h.Verify(&row.m, hookNow)
		if !errors.Is(err, row.want) || (err == nil) != (v != nil) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
	}
	v, err := h.Verify(&good, hookNow)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Principal
	if p.Trust != identity.HookTrust || p.Subject != "ci" || p.Scopes.String() != "invalidate:**" || p.TokenID == "" || strings.Contains(p.TokenID, good.Signature[:16]) {
		t.Errorf("got principal %+v", p)
	}
	none := new(identity.Hooks)
	if _, err := none.Verify(&good, hookNow); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("no hooks at all: got %v", err)
	}
}

func TestHookConfigurations(t *testing.T) {
	all := []secret.Pattern{secret.Everything()}
	for name, c := range map[string][]identity.HookConfig{
		"no name":       {{Keys: [][]byte{hookKey(1)}, Allow: all}},
		"no key":        {{Name: "a", Allow: all}},
		"three keys":    {{Name: "a", Keys: [][]byte{hookKey(1), hookKey(2), hookKey(3)}, Allow: all}},
		"a short key":   {{Name: "a", Keys: [][]byte{hookKey(1)[1:]}, Allow: all}},
		"a line break":  {{Name: "a", Keys: [][]byte{append(hookKey(1)[1:], '\n')}, Allow: all}},
		"one key twice": {{Name: "a", Keys: [][]byte{hookKey(1), append(hookKey(1), '\n')}, Allow: all}},
		"a shared key":  {{Name: "a", Keys: [][]byte{hookKey(1)}, Allow: all}, {Name: "b", Keys: [][]byte{hookKey(1)}, Allow: all}},
		"nothing":       {{Name: "a", Keys: [][]byte{hookKey(1)}}},
		"too much":      {{Name: "a", Keys: [][]byte{hookKey(1)}, Allow: make([]secret.Pattern, policy.MaxScopes+1)}},
		"negative":      {{Name: "a", Keys: [][]byte{hookKey(1)}, Allow: all, MaxAge: -1}},
	} {
		if _, err := identity.NewHooks(c); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// A message is taken once, and remembered until its time is over whatever else is taken.
func TestHookReplays(t *testing.T) {
	r := identity.NewReplays()
	first := &identity.Verified{Principal: policy.Principal{TokenID: "first", Expires: hookNow.Add(time.Hour)}}
	if !r.Take(first.Principal.TokenID, first.Principal.Expires, hookNow) || r.Take(first.Principal.TokenID, first.Principal.Expires, hookNow) {
		t.Fatal("want the first, and not again")
	}
	for i := range 5000 {
		v := &identity.Verified{Principal: policy.Principal{TokenID: strconv.Itoa(i), Expires: hookNow}}
		if !r.Take(v.Principal.TokenID, v.Principal.Expires, hookNow.Add(time.Duration(i)*time.Second/2)) {
			t.Fatalf("message %d was not taken", i)
		}
	}
	if r.Take(first.Principal.TokenID, first.Principal.Expires, hookNow.Add(time.Hour)) {
		t.Error("the first was taken again within its time")
	}
	// With every place taken by messages whose time is not over, none is taken: nothing may be forgotten.
	full := 0
	for i := range 1 << 17 {
		v := &identity.Verified{Principal: policy.Principal{TokenID: "x" + strconv.Itoa(i), Expires: hookNow.Add(2 * time.Hour)}}
		if r.Take(v.Principal.TokenID, v.Principal.Expires, hookNow.Add(time.Hour)) {
			full++
		}
	}
	if full > 1<<16 || full < 1<<15 {
		t.Errorf("took %d messages, want a bound of 65,536", full)
	}
}

// Whether there is a hook, and whether it has an old key, is not told by the work that a wrong signature costs.
func TestHooksCostTheSame(t *testing.T) {
	h := hooks(t)
	cost := func(name string) float64 {
		m := signMessage(hookKey('w'), message(name, hookNow))
		return testing.AllocsPerRun(100, func() {
			if _, err := h.Verify(&m, hookNow); !errors.Is(err, identity.ErrInvalid) {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
	none := cost("none")
	for _, name := range []string{"ci", "other"} {
		// The race detector makes pools lose some; one signature more takes five.
		if got := cost(name); math.Abs(got-none) > 2 {
			t.Errorf("hook %s costs %v allocations, no hook %v", name, got, none)
		}
	}
}
