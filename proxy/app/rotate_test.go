package app_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// movable is a wall clock that a test moves.
type movable struct {
	mu  sync.Mutex
	now time.Time
}

func (m *movable) wall() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *movable) set(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

func keyFile(t testing.TB, s *proxytest.Server, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// published is the server's part of a rotation: it reloads, and both keys are there.
func published(t testing.TB, s *proxytest.Server) func(string) error {
	return func(id string) error {
		if err := reload(t, s, proxytest.Document); err != nil {
			return err
		}
		if _, body := do(t, s, "", "GET", "/.well-known/jwks.json", ""); !strings.Contains(body, id) {
			t.Errorf("the new key is not published: %s", body)
		}
		return nil
	}
}

// Tokens of both keys are good until the old ones have expired, and then the old key is good for nothing.
func TestRotateSigningKey(t *testing.T) {
	clock := &movable{now: time.Now()}
	s, old := seeded(t, proxytest.Options{Wall: clock.wall})
	stolen := keyFile(t, s, "signing.pem")
	r, err := app.RotateSigningKey(s.Config, clock.wall(), published(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if want := clock.wall().Add(time.Hour + identity.Leeway); !r.Until.Equal(want) || r.Finished || r.KeyID == r.Retired {
		t.Errorf("got %+v, want an end at %v", r, want)
	}
	if bytes.Equal(keyFile(t, s, "signing.pem"), stolen) {
		t.Fatal("the signing key is the old one")
	}
	if left := app.Unfinished(s.Config); left != "" {
		t.Errorf("%s is left", left)
	}
	token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": scopes})
	for _, reloaded := range []bool{false, true} {
		if reloaded {
			if err := reload(t, s, proxytest.Document); err != nil {
				t.Fatal(err)
			}
		}
		for name, token := range map[string]string{"old": old, "new": token} {
			if code, body := do(t, s, token, "GET", known, ""); code != 200 {
				t.Errorf("%s key, reloaded %t: got %d %s", name, reloaded, code, body)
			}
		}
	}
	// A thief of the old key goes on signing; nobody reloads, nobody removes anything.
	clock.set(r.Until)
	if code, _ := do(t, s, forgedAt(t, stolen, clock.wall()), "GET", known, ""); code != 401 {
		t.Errorf("the old key after its end: got %d", code)
	}
	if _, body := do(t, s, "", "GET", "/.well-known/jwks.json", ""); strings.Contains(body, r.Retired) || !strings.Contains(body, r.KeyID) {
		t.Errorf("published after the end: %s", body)
	}
	// The next rotation drops what has ended.
	next, err := app.RotateSigningKey(s.Config, r.Until, published(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if keys := string(keyFile(t, s, "jwks.json")); strings.Contains(keys, r.Retired) || !strings.Contains(keys, next.Retired) || next.Retired != r.KeyID {
		t.Errorf("after another rotation: %+v, %s", next, keys)
	}
}

// forgedAt signs a token with a key at a time.
func forgedAt(t testing.TB, pem []byte, now time.Time) string {
	t.Helper()
	key, err := identity.ParseSigningKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	s, err := identity.NewSigner(key, "https://keyhole.test", "https://keyhole.test")
	if err != nil {
		t.Fatal(err)
	}
	all, err := policy.ParseScopes(scopes)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Truncate(time.Second)
	token, err := s.Sign(identity.Claims{
		Subject: "thief", ClientID: "x", TokenID: "x", Scopes: all, Trust: "local",
		OriginIssuer: "https://keyhole.test", IssuedAt: now, Expires: now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Where the server does not take the new key, the old one goes on, and the next rotation uses the key that is waiting.
func TestRotationThatIsNotTaken(t *testing.T) {
	s, token := seeded(t, proxytest.Options{})
	before := keyFile(t, s, "signing.pem")
	refused := errors.New("not taken")
	var waiting string
	if _, err := app.RotateSigningKey(s.Config, time.Now(), func(id string) error { waiting = id; return refused }); !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	if !bytes.Equal(keyFile(t, s, "signing.pem"), before) || app.Unfinished(s.Config) == "" {
		t.Error("the old key does not go on, or nothing waits")
	}
	if err := reload(t, s, proxytest.Document); err != nil {
		t.Fatal(err)
	}
	if code, _ := do(t, s, token, "GET", known, ""); code != 200 {
		t.Errorf("got %d", code)
	}
	r, err := app.RotateSigningKey(s.Config, time.Now(), published(t, s))
	if err != nil || r.KeyID != waiting || app.Unfinished(s.Config) != "" {
		t.Errorf("got %+v (%v), want the key %s that waits", r, err, waiting)
	}
}

// Every state that an interrupted rotation can leave serves both keys' tokens, and the next rotation ends it.
func TestRotationAfterAnInterruption(t *testing.T) {
	for _, name := range []string{"before the switch", "after the switch"} {
		t.Run(name, func(t *testing.T) {
			s, old := seeded(t, proxytest.Options{})
			before := keyFile(t, s, "signing.pem")
			// As far as the switch, then what was left of it.
			stop := errors.New("interrupted")
			if _, err := app.RotateSigningKey(s.Config, time.Now(), func(string) error { return stop }); !errors.Is(err, stop) {
				t.Fatal(err)
			}
			write(t, s.Dir, "keys/signing.pem.old", string(before))
			next := keyFile(t, s, "signing.pem.new")
			after := name == "after the switch"
			if after {
				if err := os.Rename(filepath.Join(s.Dir, "keys/signing.pem.new"), filepath.Join(s.Dir, "keys/signing.pem")); err != nil {
					t.Fatal(err)
				}
			}
			if err := reload(t, s, proxytest.Document); err != nil {
				t.Fatal(err)
			}
			r, err := app.RotateSigningKey(s.Config, time.Now(), published(t, s))
			if err != nil || r.Finished != after {
				t.Fatalf("got %+v (%v), want Finished %t", r, err, after)
			}
			if !bytes.Equal(keyFile(t, s, "signing.pem"), next) || app.Unfinished(s.Config) != "" {
				t.Error("the new key does not sign, or something is left")
			}
			if err := reload(t, s, proxytest.Document); err != nil {
				t.Fatal(err)
			}
			token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": scopes})
			for name, token := range map[string]string{"old": old, "new": token} {
				if code, _ := do(t, s, token, "GET", known, ""); code != 200 {
					t.Errorf("%s key: got %d", name, code)
				}
			}
			set, err := identity.ParseKeySet(keyFile(t, s, "jwks.json"))
			if err != nil || set.At(r.Until).Len() != 1 || set.At(r.Until.Add(-time.Second)).Len() != 2 {
				t.Errorf("the old key has no end: %s (%v)", keyFile(t, s, "jwks.json"), err)
			}
		})
	}
}

func TestRotationRefuses(t *testing.T) {
	s, _ := seeded(t, proxytest.Options{})
	other, err := identity.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	set, err := identity.NewKeySet(other.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := set.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	before := keyFile(t, s, "signing.pem")
	nothing := func(string) error { return nil }
	write(t, s.Dir, "keys/jwks.json", string(jwks))
	if _, err := app.RotateSigningKey(s.Config, time.Now(), nothing); err == nil || !strings.Contains(err.Error(), "lacks the public half") {
		t.Errorf("keys of another: got %v", err)
	}
	c := *s.Config
	c.Identity.SigningKey.Scheme, c.Identity.SigningKey.Name = "env", "SIGNING_KEY"
	if _, err := app.RotateSigningKey(&c, time.Now(), nothing); err == nil || !strings.Contains(err.Error(), "only keys in files") {
		t.Errorf("a key in the environment: got %v", err)
	}
	if !bytes.Equal(keyFile(t, s, "signing.pem"), before) || app.Unfinished(s.Config) != "" {
		t.Error("something changed")
	}
}

// A process that ends between the two names of the new key leaves no copy of it behind for good.
func TestRotationLeavesNoCopyOfTheKey(t *testing.T) {
	s, _ := seeded(t, proxytest.Options{})
	private := filepath.Join(s.Dir, "keys", "signing.pem")
	if _, err := app.RotateSigningKey(s.Config, time.Now(), func(string) error { return errors.New("ended") }); err == nil {
		t.Fatal("it was not ended")
	}
	part := filepath.Join(s.Dir, "keys", ".signing.pem.new.1.part")
	if err := os.Link(private+".new", part); err != nil {
		t.Fatal(err)
	}
	if _, err := app.RotateSigningKey(s.Config, time.Now(), published(t, s)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy of the signing key stays: %v", err)
	}
}

// With as many keys as there may be a rotation changes nothing, and says when there is room.
func TestRotationWithoutRoomForAKey(t *testing.T) {
	s, _ := seeded(t, proxytest.Options{})
	keys, err := identity.ParseKeySet(keyFile(t, s, "jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	for keys.Len() < identity.MaxKeys {
		pub, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err = keys.With(pub); err != nil {
			t.Fatal(err)
		}
	}
	text, err := keys.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "keys", "jwks.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	before := keyFile(t, s, "signing.pem")
	_, err = app.RotateSigningKey(s.Config, time.Now(), func(string) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "1h0m30s") || !bytes.Equal(keyFile(t, s, "signing.pem"), before) {
		t.Errorf("got %v, want when there is room", err)
	}
	later := time.Now()
	for _, id := range keys.KeyIDs()[1:] {
		keys = keys.Until(id, later)
	}
	if text, err = keys.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "keys", "jwks.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := app.RotateSigningKey(s.Config, later.Add(time.Second), func(string) error { return nil }); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}
