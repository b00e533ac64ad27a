package identity_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

func verify(t *testing.T, v *identity.Verifier, token string) *identity.Verified {
	t.Helper()
	got, err := v.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestVerificationIsRememberedForAMinute(t *testing.T) {
	key := testKey('a')
	c := newClock()
	v := newVerifier(t, c, keySet(t, key))
	token := sign(t, key, goodClaims(t))
	first := verify(t, v, token)
	c.Advance(identity.RememberFor - time.Second)
	if verify(t, v, token) != first {
		t.Error("verified again within the minute")
	}
	c.Advance(time.Second)
	second := verify(t, v, token)
	if second == first {
		t.Error("still remembered after the minute")
	}
	c.Advance(-time.Second)
	if verify(t, v, token) == second {
		t.Error("remembered although the clock went back before the verification")
	}
}

func TestRememberedUseAllocatesNothing(t *testing.T) {
	key := testKey('a')
	v := newVerifier(t, newClock(), keySet(t, key))
	token := sign(t, key, goodClaims(t))
	verify(t, v, token)
	if n := testing.AllocsPerRun(100, func() { verify(t, v, token) }); n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	key, late := testKey('a'), testKey('b')
	c := newClock()
	v := newVerifier(t, c, keySet(t, key))
	claims := goodClaims(t)
	claims.IssuedAt, claims.NotBefore = start.Add(time.Minute), start.Add(time.Minute)
	early := sign(t, key, claims)
	unknown := sign(t, late, goodClaims(t))
	for _, token := range []string{early, unknown, "x.y.z"} {
		if _, err := v.Verify(context.Background(), token); err == nil {
			t.Fatal("a bad token was taken")
		}
	}
	if n := v.Remembered(); n != 0 {
		t.Errorf("%d failures are remembered", n)
	}
	c.Advance(time.Minute)
	verify(t, v, early)
	if err := v.SetKeys(keySet(t, key, late)); err != nil {
		t.Fatal(err)
	}
	verify(t, v, unknown)
}

func TestSetKeysEndsVerificationsOfKeysThatVanish(t *testing.T) {
	stays, goes := testKey('a'), testKey('b')
	v := newVerifier(t, newClock(), keySet(t, stays, goes))
	kept, dropped := sign(t, stays, goodClaims(t)), sign(t, goes, goodClaims(t))
	first := verify(t, v, kept)
	verify(t, v, dropped)
	if err := v.SetKeys(keySet(t, stays)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), dropped); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("got %v; want ErrUnknownKey", err)
	}
	if verify(t, v, kept) != first {
		t.Error("the verification of a key that stays was dropped")
	}
	if err := v.SetKeys(keySet(t)); err != nil {
		t.Fatalf("taking all keys away: %v", err)
	}
	if _, err := v.Verify(context.Background(), kept); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("got %v; want ErrUnknownKey", err)
	}
}

func TestSetKeysRefusesAndKeepsTheOldKeys(t *testing.T) {
	key := testKey('a')
	v := newVerifier(t, newClock(), keySet(t, key))
	token := sign(t, key, goodClaims(t))
	named, err := identity.ParseKeySet([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"mine","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]*identity.KeySet{"nil": nil, "kid is no thumbprint": named} {
		if err := v.SetKeys(set); !errors.Is(err, identity.ErrInvalidKeySet) {
			t.Errorf("%s: got %v; want ErrInvalidKeySet", name, err)
		}
	}
	verify(t, v, token)
}

// Two tokens with one signature: only the one that was signed is good, remembered or not.
func TestTheWholeTokenIsRemembered(t *testing.T) {
	key := testKey('a')
	v := newVerifier(t, newClock(), keySet(t, key))
	token := sign(t, key, goodClaims(t))
	verify(t, v, token)
	header, payload := parts(t, token)
	forged := segment(header) + "." + segment(edit(t, payload, "scope", `"write:**"`)) + token[len(token)-87:]
	if _, err := v.Verify(context.Background(), forged); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %v; want ErrInvalid", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	key := testKey('a')
	v, err := identity.New(identity.Config{
		Issuer: issuer, Audience: audience, Keys: keySet(t, key), Wall: newClock().Now, CacheEntries: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t, key)
	busy := sign(t, key, goodClaims(t))
	first := verify(t, v, busy)
	for i := range 1000 {
		c := goodClaims(t)
		c.TokenID = fmt.Sprint("token-", i)
		token, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, v, token)
		if n := v.Remembered(); n > 64 {
			t.Fatalf("%d verifications are remembered; want at most 64", n)
		}
		if verify(t, v, busy) != first {
			t.Fatalf("a token in constant use was forgotten after %d others", i)
		}
	}
	if n := v.Remembered(); n < 32 {
		t.Errorf("%d verifications are remembered; want at least half of 64", n)
	}
}

// Keys come and go while tokens are verified: a token is never taken after the return of the SetKeys that took its key.
func TestSetKeysWhileVerifying(t *testing.T) {
	a, b := testKey('a'), testKey('b')
	both, one := keySet(t, a, b), keySet(t, a)
	v := newVerifier(t, newClock(), both)
	tokens := map[*ed25519.PrivateKey]string{&a: sign(t, a, goodClaims(t)), &b: sign(t, b, goodClaims(t))}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(context.Background(), tokens[&a]); err != nil {
					t.Errorf("the key that stays: %v", err)
				}
				if _, err := v.Verify(context.Background(), tokens[&b]); err != nil && !errors.Is(err, identity.ErrUnknownKey) {
					t.Errorf("the key that comes and goes: %v", err)
				}
			}
		})
	}
	for range 50 {
		for _, set := range []*identity.KeySet{one, both} {
			if err := v.SetKeys(set); err != nil {
				t.Error(err)
			}
			_, err := v.Verify(context.Background(), tokens[&b])
			if got, want := errors.Is(err, identity.ErrUnknownKey), set == one; got != want {
				t.Errorf("after SetKeys: %v; want it refused: %v", err, want)
			}
		}
	}
	wg.Wait()
}
