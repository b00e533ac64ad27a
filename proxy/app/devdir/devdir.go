// Package devdir makes and finds the directory that a server works in: its configuration, keys, vault, state and audit
// log, the lock that keeps a second server out, and the note that tells commands where the server answers.
package devdir

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// Names inside the directory.
const (
	ConfigFile = "keyhole.yaml"
	CLIAudit   = "audit/cli.jsonl"
)

// seedPending says that the directory is new and its first contents are still to be written.
const seedPending = "seed.pending"

// Create makes whatever is missing of the directory. What is there stays as it is: no key is ever overwritten. listen,
// where not "", is the native address of a new configuration.
func Create(dir, listen string) error {
	document, err := document(dir, listen)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write in %s (mode %04o), so they could replace keys and configuration; run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, "keys"), filepath.Join(dir, "audit")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("making the directory: %w", err)
		}
	}
	files := []struct {
		name string
		make func() ([]byte, error)
	}{
		{".gitignore", func() ([]byte, error) { return []byte("*\n"), nil }},
		{ConfigFile, func() ([]byte, error) { return document, nil }},
		{"keys/master.key", func() ([]byte, error) { return embedded.GenerateKey(rand.Reader) }},
		{"keys/audit.key", auditKey},
		{"keys/signing.pem", signingKey},
		{"keys/jwks.json", func() ([]byte, error) { return publicKeys(dir) }},
	}
	if _, err := os.Stat(filepath.Join(dir, "vault.db")); err == nil {
		// A vault without its key is one that was moved or half deleted: making a new key would only hide it.
		if _, err := os.Stat(filepath.Join(dir, "keys", "master.key")); err != nil {
			return fmt.Errorf("the directory holds vault.db but not the key that opens it: %w", err)
		}
	} else {
		files = append(files, struct {
			name string
			make func() ([]byte, error)
		}{seedPending, func() ([]byte, error) { return nil, nil }})
	}
	for _, f := range files {
		if err := makeFile(filepath.Join(dir, f.name), f.make); err != nil {
			return err
		}
	}
	return nil
}

// Once runs fill where Create found no vault, and again at the next start if fill fails or the process is ended in it.
func Once(dir string, fill func() error) error {
	marker := filepath.Join(dir, seedPending)
	if _, err := os.Stat(marker); err != nil {
		return nil
	}
	if err := fill(); err != nil {
		return err
	}
	return os.Remove(marker)
}

// makeFile writes a new file as a whole or not at all.
func makeFile(path string, content func() ([]byte, error)) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	data, err := content()
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	defer clear(data)
	// Create never replaces what another process made meanwhile.
	if err := durable.Create(path, data); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func auditKey() ([]byte, error) {
	key, err := audit.GenerateKey()
	if err != nil {
		return nil, err
	}
	return audit.MarshalKey(key)
}

func signingKey() ([]byte, error) {
	key, err := identity.GenerateSigningKey()
	if err != nil {
		return nil, err
	}
	return identity.MarshalSigningKey(key)
}

func publicKeys(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "keys", "signing.pem"))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := identity.ParseSigningKey(text)
	if err != nil {
		return nil, err
	}
	set, err := identity.NewKeySet(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return set.MarshalJSON()
}

// document is the configuration of a new directory. A chosen address takes any free port for the admin listener, so that
// several servers fit on one machine. It is checked before it is written: a bad address must not stay behind.
func document(dir, listen string) ([]byte, error) {
	native, admin := "127.0.0.1:8640", "127.0.0.1:8641"
	if listen != "" {
		native, admin = listen, "127.0.0.1:0"
	}
	text := fmt.Appendf(nil, documentForm, native, admin)
	doc, err := yamlconf.Read(filepath.Join(dir, ConfigFile), text)
	if err == nil {
		_, err = doc.Decode()
	}
	return text, err
}

const documentForm = `# What "keyhole dev" runs here; "keyhole serve --config" with this file runs the same server.
version: 1
region: local
listen:
  native: %q
  admin: %q
identity:
  issuer: https://keyhole.localhost
  audience: https://keyhole.localhost
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
  max_ttl: 1h
upstreams:
  local: {type: embedded, path: vault.db, key: "file:keys/master.key"}
mounts:
  - path: ""                       # everything that no nearer mount takes
    upstream: local
  - path: web/production
    upstream: local
    at: web/production
    labels: {environment: production, classification: confidential}
policy:
  chain:
    - bundle: builtin:scope
state: {type: file, path: state.db}
audit:
  durability: process
  key: file:keys/audit.key
  sinks:
    - {type: file, path: audit/audit.jsonl, required: true}
`
