// Package boltstore is the state store of a single server: the log of facts in one bbolt file. Its laws:
//
//   - A fact is on the disk, synced, when Append returns.
//   - A seq is given once, even when every fact that had one is gone and the process has been restarted.
//   - One process at a time has the file open, and what is not a whole file of this format is refused, never repaired.
//
// It is a package of its own so that programs which keep no file do not link bbolt.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/internal/fanout"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Errors of Open. Append and Since answer ErrCorrupt too, where damage shows only then.
var (
	// ErrLocked: another process, or another Store in this one, has the file open. Stop it, or ask it.
	ErrLocked = errors.New("the state file is open in another process")
	// ErrForeign: the file is not a state file, or one of a format this program does not know. Check the path.
	ErrForeign = errors.New("the file is not a state file of a known format")
	// ErrCorrupt: the file is cut short or damaged. Restore a backup. Do not simply delete it: the revocations in it
	// would be forgotten. It is a kind of state.ErrUnavailable.
	ErrCorrupt = fmt.Errorf("%w: the state file is damaged", state.ErrUnavailable)
)

// Config is what Open needs.
type Config struct {
	Path string           // of the file, in a directory that exists; it is created with mode 0600
	Wall func() time.Time // nil means time.Now
}

// Store is a state.Store and a state.Watcher.
type Store struct {
	db   *bolt.DB
	wall func() time.Time
	hub  fanout.Hub

	last   atomic.Uint64 // the end of the log, for the reader who is there already
	closed atomic.Bool
	mu     sync.Mutex // one Append at a time, so that last only grows
}

var (
	_ state.Store   = (*Store)(nil)
	_ state.Watcher = (*Store)(nil)
)

// Open opens the file at c.Path, or creates it. It waits at most about a second for another process to let go of it, and
// leaves what it refuses as it was.
func Open(c Config) (*Store, error) {
	if c.Path == "" {
		return nil, errors.New("opening state file: no path")
	}
	s := &Store{wall: c.Wall}
	if s.wall == nil {
		s.wall = time.Now
	}
	var err error
	if s.db, err = openFile(c.Path); err != nil {
		return nil, fmt.Errorf("opening state file %s: %w", c.Path, err)
	}
	err = guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			s.last.Store(tx.Bucket(factsBucket).Sequence())
			return nil
		})
	})
	if err != nil {
		_ = s.db.Close()
		return nil, fmt.Errorf("opening state file %s: %w", c.Path, err)
	}
	return s, nil
}

// Append adds f; it costs one synced write of the file. See state.Store.
func (s *Store) Append(ctx context.Context, f state.Fact) (uint64, error) {
	if err := f.Check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	var seq uint64
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) (err error) {
			seq, err = put(tx, f, s.wall())
			return err
		})
	})
	switch {
	case errors.Is(err, errHeld):
		return seq, nil
	case err != nil:
		return 0, fmt.Errorf("appending a fact: %w", unavailable(err))
	}
	s.last.Store(seq)
	s.hub.Tell(seq)
	return seq, nil
}

// Since reads the log. See state.Store.
func (s *Store) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	if err := s.ready(ctx); err != nil {
		return nil, 0, err
	}
	// By far the most frequent question. Appends that have returned are in last, so the answer is not older than them.
	if seq > 0 && seq == s.last.Load() {
		return nil, seq, nil
	}
	var facts []state.Fact
	var last uint64
	err := guard(func() error {
		return s.db.View(func(tx *bolt.Tx) (err error) {
			facts, last, err = since(tx, seq, s.wall())
			return err
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading facts: %w", unavailable(err))
	}
	return facts, last, nil
}

// Watch tells of new facts. See state.Watcher.
func (s *Store) Watch(ctx context.Context) (<-chan uint64, error) {
	ch, err := s.hub.Watch(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	return ch, nil
}

// Close waits for reads and writes under way, closes the channels of watchers and lets go of the file.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.hub.Close()
	return s.db.Close()
}

func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return fmt.Errorf("%w: the store is closed", state.ErrUnavailable)
	}
	return ctx.Err()
}

// unavailable makes every error that is not one of state's a state.ErrUnavailable: a full disk, a file that closed.
func unavailable(err error) error {
	if errors.Is(err, state.ErrUnavailable) || errors.Is(err, state.ErrCompacted) {
		return err
	}
	return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
}

// guard turns a panic into ErrCorrupt: bbolt panics on pages that do not hold together, or follows them out of the
// mapped file.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: its pages do not hold together", ErrCorrupt)
		}
	}()
	return f()
}
