// Package embedded is the vault that needs no other system: one file, encrypted, durable when a write returns.
//
// Its laws:
//   - A write that returned survives: every commit is fsynced. Concurrent writes take turns, one commit each.
//   - Version numbers are decimal and count from 1 for each name. None is ever given twice, not even after Delete. The
//     newest 100 versions of a secret are kept, older ones are pruned by the write that exceeds them.
//   - created_at is in UTC milliseconds and grows with the version: where the clock stands still or runs backwards, a
//     version is dated one millisecond after the one before it.
//   - A write and the change it has to announce commit together (Pending, Settle).
//
// What the file shows without the master key: the names of secrets, for they are kept in the clear to be listed in
// order, the sizes of their values, the times of their versions and the names of pending changes. What it hides:
// values, fields, metadata. Each version has its own random data key, wrapped under a key derived from the master key
// for that one name; everything is AES-256-GCM and bound to the vault, name, version, time and purpose, so an entry that
// was altered, swapped or brought over from another file does not open. An older copy of the whole file does open: keep
// its directory as private as a key. Deleted and pruned entries stay in the file, encrypted, until their pages are reused.
//
// A damaged or foreign file is refused before it is mapped into memory, and never changed.
package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// KeepVersions is the number of versions of one secret that are kept, the current one included.
const KeepVersions = 100

// Config says which vault to open.
type Config struct {
	// Path is the vault's file, created with mode 0600 when it does not exist. Its directory must exist.
	Path string
	// Key is the 32-byte master key, as ParseKey returns it. Open copies it.
	Key []byte
	// ReadOnly shares the file with other readers, and makes none. Writes then fail.
	ReadOnly bool
	// Wall is the clock that dates versions; nil is time.Now.
	Wall func() time.Time
	// Random makes data keys and nonces; nil is crypto/rand. Anything else is for tests only.
	Random io.Reader
	// Logger hears of damage and of a file that others may read; nil discards.
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Vault is an open vault file. It holds the file's lock until Close, and no goroutine. All methods are safe for
// concurrent use; after Close they fail with ErrClosed.
type Vault struct {
	id     vaultID
	wall   func() time.Time
	random io.Reader
	log    *slog.Logger
	db     *bolt.DB

	// writing holds a token while a write transaction runs, so that waiting for one's turn ends with the context.
	// A transaction that panicked keeps it for ever: the library's own lock may be held then too.
	writing chan struct{}
	broken  chan struct{} // closed by the write transaction that panicked

	mu     sync.RWMutex // held for reading by every operation, for writing by Close
	key    []byte
	closed bool
}

var (
	_ secret.Upstream = (*Vault)(nil)
	_ secret.Lister   = (*Vault)(nil)
	_ secret.Writer   = (*Vault)(nil)
	_ secret.Outbox   = (*Vault)(nil)
	_ secret.Deleter  = (*Vault)(nil)

	_ secret.Versioner       = (*Vault)(nil)
	_ secret.UniqueVersions  = (*Vault)(nil)
	_ secret.OrderedVersions = (*Vault)(nil)
)

// Open opens the vault at c.Path, or creates it. It fails with ErrLocked, ErrWrongKey, ErrForeign, ErrNewerFormat or
// ErrCorrupt, and leaves the file as it was in all these cases. It waits at most one second for the file's lock.
func Open(c Config) (*Vault, error) {
	if c.Path == "" {
		return nil, errors.New("opening vault: no path")
	}
	if len(c.Key) != KeyBytes {
		return nil, fmt.Errorf("opening vault: the master key has %d bytes, %d are needed", len(c.Key), KeyBytes)
	}
	c.setDefaults()
	v, err := open(&c)
	if errors.Is(err, os.ErrNotExist) && !c.ReadOnly {
		if err := create(&c); err != nil {
			return nil, fmt.Errorf("creating vault: %w", err)
		}
		v, err = open(&c)
	}
	if err != nil {
		return nil, fmt.Errorf("opening vault: %w", err)
	}
	return v, nil
}

func open(c *Config) (*Vault, error) {
	file, err := openChecked(c)
	if err != nil {
		return nil, err
	}
	var db *bolt.DB
	err = guard(c.Logger, func() (err error) {
		db, err = openBolt(c.Path, file, c.ReadOnly)
		return err
	})
	if err != nil {
		boltfile.Abandon(file)
		return nil, err
	}
	v := &Vault{
		wall: c.Wall, random: c.Random, log: c.Logger, db: db,
		writing: make(chan struct{}, 1), broken: make(chan struct{}),
		key: bytes.Clone(c.Key),
	}
	if err := guard(c.Logger, func() error { return db.View(v.readHeader) }); err != nil {
		_ = v.Close()
		return nil, err
	}
	return v, nil
}

// view runs f in a read transaction.
func (v *Vault) view(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := secret.ContextError(ctx); err != nil {
		return err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.closed {
		return ErrClosed
	}
	return guard(v.log, func() error { return v.db.View(f) })
}

// update runs f in a write transaction, when it is its turn. Once f has begun, the context no longer matters.
func (v *Vault) update(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := secret.ContextError(ctx); err != nil {
		return err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.closed {
		return ErrClosed
	}
	select {
	case v.writing <- struct{}{}:
	case <-v.broken:
		return fmt.Errorf("%w: an earlier write failed half-way; restart to check the file", ErrCorrupt)
	case <-ctx.Done():
		return secret.ContextError(ctx)
	}
	var failed error
	err := guard(v.log, func() error {
		return v.db.Update(func(tx *bolt.Tx) error {
			failed = f(tx)
			return failed
		})
	})
	if errors.Is(err, errPanicked) {
		close(v.broken)
		return err
	}
	<-v.writing
	if err != nil && failed == nil {
		return unavailable{fmt.Errorf("committing: %w", err)}
	}
	return err
}

// Close waits for running operations, releases the file and wipes the master key. Closing again does nothing.
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	clear(v.key)
	select {
	case <-v.broken:
		// The broken transaction may hold the library's locks: the process's end releases the file.
		return fmt.Errorf("closing vault: %w", ErrCorrupt)
	default:
	}
	if err := v.db.Close(); err != nil {
		return fmt.Errorf("closing vault: %w", err)
	}
	return nil
}

// CompareVersions goes by the number.
func (v *Vault) CompareVersions(a, b secret.Version) int { return secret.CompareNumbers(a, b) }

// UniqueVersions marks that a number is never used again, not even after the secret is deleted.
func (v *Vault) UniqueVersions() {}
