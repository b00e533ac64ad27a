package app

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

// What a rotation that was ended leaves beside the signing key.
const (
	nextSuffix = ".new" // the key that is to sign
	lastSuffix = ".old" // the key that signed, until its public half has an end
)

// Rotation is what came of RotateSigningKey.
type Rotation struct {
	KeyID    string    // that signs from now on
	Retired  string    // key ID that signed before
	Until    time.Time // when the retired key verifies nothing any more
	Finished bool      // an earlier rotation was only finished
}

// RotateSigningKey makes a new key that signs tokens. The old public key verifies as long as a token that it signed may
// live, then ends by itself; the old private key is removed.
//
// The order of the steps keeps every token good, whenever servers look and whatever ends this process: the new public key
// is added; published waits until the running server has it; the new private key takes the place of the old one; the old
// public key gets its end. A rotation that was ended is finished by the next one.
func RotateSigningKey(c *config.Config, now time.Time, published func(keyID string) error) (Rotation, error) {
	r, err := newRotation(c, now)
	if err != nil {
		return Rotation{}, err
	}
	if last, err := readSigningKey(r.private + lastSuffix); err == nil && !last.Equal(r.current) {
		err := r.retire(last)
		return Rotation{keyID(r.current), keyID(last), r.end, true}, err
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Rotation{}, err
	}
	next, err := r.next()
	if err != nil {
		return Rotation{}, err
	}
	if err := r.add(next); err != nil {
		return Rotation{}, err
	}
	if err := published(keyID(next)); err != nil {
		return Rotation{}, err
	}
	if err := durable.Link(r.private, r.private+lastSuffix); err != nil && !errors.Is(err, fs.ErrExist) {
		return Rotation{}, fmt.Errorf("keeping the old key: %w", err)
	}
	if err := durable.Rename(r.private+nextSuffix, r.private); err != nil {
		return Rotation{}, fmt.Errorf("naming the new key: %w", err)
	}
	return Rotation{keyID(next), keyID(r.current), r.end, false}, r.retire(r.current)
}

// rotation is the files of one.
type rotation struct {
	private, public string
	current         ed25519.PrivateKey
	now, end        time.Time
}

func newRotation(c *config.Config, now time.Time) (*rotation, error) {
	id := c.Identity
	for key, ref := range map[string]config.Ref{"identity.signing_key": id.SigningKey, "identity.keys": id.Keys} {
		if ref.Scheme != "file" {
			return nil, fmt.Errorf("%s is %q: only keys in files can be rotated; name them with file:PATH", key, ref)
		}
	}
	r := &rotation{now: now, end: now.Add(id.MaxTTL + identity.Leeway)}
	var err error
	if r.private, err = filepath.EvalSymlinks(c.Abs(id.SigningKey.Name)); err != nil {
		return nil, fmt.Errorf("identity.signing_key: %w", err)
	}
	if r.public, err = filepath.EvalSymlinks(c.Abs(id.Keys.Name)); err != nil {
		return nil, fmt.Errorf("identity.keys: %w", err)
	}
	r.current, err = readSigningKey(r.private)
	if err != nil {
		return nil, err
	}
	keys, err := r.keys()
	if err == nil && !slices.Contains(keys.At(now).KeyIDs(), keyID(r.current)) {
		err = fmt.Errorf("%s: it lacks the public half of %s: put that right first", r.public, r.private)
	}
	return r, err
}

// keyID is the thumbprint of an Ed25519 key, which every one has.
func keyID(key ed25519.PrivateKey) string {
	id, _ := identity.Thumbprint(key.Public())
	return id
}

func readSigningKey(path string) (ed25519.PrivateKey, error) {
	text, err := config.Ref{Scheme: "file", Name: path, Private: true}.Resolve("", os.Getenv)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := identity.ParseSigningKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// next is the key that an earlier rotation left behind, whose public half may be known already, or a new one.
func (r *rotation) next() (ed25519.PrivateKey, error) {
	path := r.private + nextSuffix
	// A rotation that was ended while it made the key left a name of it that nobody else would ever remove.
	if err := durable.Sweep(path, nil); err != nil {
		return nil, err
	}
	key, err := readSigningKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = identity.GenerateSigningKey(); err != nil {
		return nil, err
	}
	text, err := identity.MarshalSigningKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return key, durable.Create(path, text)
}

func (r *rotation) keys() (*identity.KeySet, error) {
	text, err := os.ReadFile(r.public)
	if err != nil {
		return nil, err
	}
	keys, err := identity.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.public, err)
	}
	return keys, nil
}

// write replaces the public keys, without those that have ended.
func (r *rotation) write(keys *identity.KeySet) error {
	text, err := keys.At(r.now).MarshalJSON()
	if err != nil {
		return err
	}
	return durable.Replace(r.public, append(text, '\n'))
}

func (r *rotation) add(next ed25519.PrivateKey) error {
	keys, err := r.keys()
	if err != nil || slices.Contains(keys.KeyIDs(), keyID(next)) {
		return err
	}
	if keys = keys.At(r.now); keys.Len() >= identity.MaxKeys {
		return fmt.Errorf("%s has %d keys, and more are not taken: each key that was retired makes room %s after its rotation (identity.max_ttl and 30 seconds); rotate again then",
			r.public, keys.Len(), r.end.Sub(r.now))
	}
	if keys, err = keys.With(next.Public().(ed25519.PublicKey)); err != nil {
		return err
	}
	return r.write(keys)
}

func (r *rotation) retire(last ed25519.PrivateKey) error {
	keys, err := r.keys()
	if err != nil {
		return err
	}
	if err := r.write(keys.Until(keyID(last), r.end)); err != nil {
		return err
	}
	if err := os.Remove(r.private + lastSuffix); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(r.private))
}

// Unfinished names what a rotation that was ended has left behind, "" where there is nothing.
func Unfinished(c *config.Config) string {
	if c.Identity.SigningKey.Scheme != "file" {
		return ""
	}
	for _, suffix := range []string{nextSuffix, lastSuffix} {
		path := c.Abs(c.Identity.SigningKey.Name) + suffix
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return ""
}
