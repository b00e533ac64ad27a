package identity_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// A key with an end verifies until then and not longer, also what it has verified a moment ago.
func TestKeysEnd(t *testing.T) {
	clock := newClock()
	old, next := newSigner(t, testKey('a')), newSigner(t, testKey('b'))
	end := start.Add(10 * time.Minute)
	keys, err := keySet(t, testKey('a')).With(next.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	keys = keys.Until(old.KeyID(), end)
	v, err := identity.New(identity.Config{Issuer: issuer, Audience: audience, Keys: keys, Wall: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	first, second := sign(t, testKey('a'), goodClaims(t)), sign(t, testKey('b'), goodClaims(t))
	clock.Set(end.Add(-time.Second))
	for _, token := range []string{first, second} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("before the end: %v", err)
		}
	}
	clock.Set(end)
	if _, err := v.Verify(t.Context(), first); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("remembered: got %v, want ErrUnknownKey", err)
	}
	if _, err := v.Verify(t.Context(), second); err != nil {
		t.Errorf("the key without an end: %v", err)
	}
	// The same without anything remembered.
	if v, err = identity.New(identity.Config{Issuer: issuer, Audience: audience, Keys: keys, Wall: clock.Now}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), first); !errors.Is(err, identity.ErrUnknownKey) {
		t.Errorf("at first sight: got %v, want ErrUnknownKey", err)
	}
	if got := keys.At(end).KeyIDs(); len(got) != 1 || got[0] != next.KeyID() {
		t.Errorf("at the end the set has %v, want the other key", got)
	}
	if got := keys.At(end.Add(-time.Second)).Len(); got != 2 {
		t.Errorf("before the end the set has %d keys, want 2", got)
	}
}

func TestUntil(t *testing.T) {
	key := newSigner(t, testKey('a'))
	set := keySet(t, testKey('a'))
	early, late := start, start.Add(time.Hour)
	for name, c := range map[string]struct {
		set  *identity.KeySet
		want time.Time // of the end
	}{
		"an earlier end": {set.Until(key.KeyID(), late).Until(key.KeyID(), early), early},
		"a later end":    {set.Until(key.KeyID(), early).Until(key.KeyID(), late), early},
	} {
		text, err := c.set.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		read, err := identity.ParseKeySet(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*identity.KeySet{c.set, read} {
			if s.At(c.want.Add(-time.Second)).Len() != 1 || s.At(c.want).Len() != 0 {
				t.Errorf("%s: does not end at %v", name, c.want)
			}
		}
	}
	if set.At(late).Len() != 1 {
		t.Error("a set was changed")
	}
	if set.Until("no such key", early).At(late).Len() != 1 {
		t.Error("another key has an end")
	}
	if _, err := set.With(testKey('a').Public().(ed25519.PublicKey)); !errors.Is(err, identity.ErrInvalidKeySet) {
		t.Errorf("the same key twice: got %v", err)
	}
	for _, exp := range []string{`"1"`, `0`, `-1`, `1.5`, `null`, `1e400`} {
		text, _ := set.MarshalJSON()
		bad := strings.Replace(string(text), `"use"`, `"exp":`+exp+`,"use"`, 1)
		if _, err := identity.ParseKeySet([]byte(bad)); !errors.Is(err, identity.ErrInvalidKeySet) {
			t.Errorf("exp %s: got %v", exp, err)
		}
	}
}
