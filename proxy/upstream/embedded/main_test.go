package embedded_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// masterKey is a key that only tests have.
func masterKey(b byte) []byte { return bytes.Repeat([]byte{b}, embedded.KeyBytes) }

func vaultPath(t testing.TB) string { return filepath.Join(t.TempDir(), "vault.db") }

func openVault(t testing.TB, path string) *embedded.Vault {
	t.Helper()
	return openWith(t, embedded.Config{Path: path, Key: masterKey(1)})
}

func openWith(t testing.TB, c embedded.Config) *embedded.Vault {
	t.Helper()
	v, err := embedded.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeVault(t, v) })
	return v
}

func closeVault(t testing.TB, v *embedded.Vault) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func value(text string) *secret.Secret { return &secret.Secret{Value: secret.NewValue([]byte(text))} }

func write(t testing.TB, v *embedded.Vault, name, text string) secret.Version {
	t.Helper()
	n, _, err := v.Write(t.Context(), name, secret.Write{Secret: value(text)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantValue(t testing.TB, v *embedded.Vault, name string, version secret.Version, want string) *secret.Secret {
	t.Helper()
	s, err := v.Read(t.Context(), name, version)
	if err != nil {
		t.Fatalf("reading %s at %s: %v", name, version, err)
	}
	if got := string(s.Value.Reveal()); got != want {
		t.Errorf("%s at %s: got %q, want %q", name, version, got, want)
	}
	return s
}

// clock is a wall clock that a test sets.
type clock struct{ now time.Time }

func (c *clock) wall() time.Time { return c.now }

func TestConformance(t *testing.T) {
	upstreamtest.Run(t, upstreamtest.Harness{
		Open:   func(t *testing.T) secret.Upstream { return openVault(t, vaultPath(t)) },
		Values: true, Binary: true, Fields: true, Metadata: true, KeepsVersions: true, Writes: true, Lists: true,
		Deletes: true, Histories: true,
	})
}
