package state

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/fanout"
)

// MemoryConfig is what NewMemory needs. The zero value is usable.
type MemoryConfig struct {
	Wall func() time.Time // nil means time.Now
}

// Memory is a Store of one process: it forgets everything when the process ends. It is for tests, and for hosts that
// live as briefly as what they serve.
type Memory struct {
	wall func() time.Time
	hub  fanout.Hub

	mu      sync.Mutex
	facts   []Fact            // by seq
	ids     map[string]uint64 // seq of each held fact
	drops   map[uint64]time.Time
	next    time.Time // when the first of drops is due; zero: never
	last    uint64
	horizon uint64 // seq of the last Lift that was let go of
	closed  bool
}

var (
	_ Store   = (*Memory)(nil)
	_ Watcher = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	m := &Memory{wall: cfg.Wall, ids: map[string]uint64{}, drops: map[uint64]time.Time{}}
	if m.wall == nil {
		m.wall = time.Now
	}
	return m, nil
}

// Append adds f. See Store.
func (m *Memory) Append(ctx context.Context, f Fact) (uint64, error) {
	if err := f.Check(); err != nil {
		return 0, err
	}
	seq, err := m.append(ctx, f)
	if err == nil {
		m.hub.Tell(seq)
	}
	return seq, err
}

func (m *Memory) append(ctx context.Context, f Fact) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.readyLocked(ctx); err != nil {
		return 0, err
	}
	now := m.wall()
	m.compactLocked(now)
	if seq, ok := m.ids[f.ID]; ok {
		return seq, nil
	}
	f = Stored(f, now)
	m.last++
	f.Seq = m.last
	m.facts = append(m.facts, f)
	m.ids[f.ID] = f.Seq
	if at := f.DropAt(now); !at.IsZero() {
		m.drops[f.Seq] = at
		if m.next.IsZero() || at.Before(m.next) {
			m.next = at
		}
	}
	if f.Kind == Lift {
		if i, ok := m.findLocked(m.ids[f.Subject]); ok && m.facts[i].Kind != Lift {
			m.removeLocked(i)
		}
	}
	return f.Seq, nil
}

// Since reads the log. See Store.
func (m *Memory) Since(ctx context.Context, seq uint64) ([]Fact, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.readyLocked(ctx); err != nil {
		return nil, 0, err
	}
	if err := CheckSince(seq, m.horizon, m.last); err != nil {
		return nil, 0, err
	}
	now := m.wall()
	i, _ := m.findLocked(seq + 1)
	var out []Fact
	for _, f := range m.facts[i:] {
		if !f.Hidden(seq, now) {
			f.Payload = slices.Clone(f.Payload)
			out = append(out, f)
		}
	}
	return out, m.last, nil
}

// Watch tells of new facts. See Watcher.
func (m *Memory) Watch(ctx context.Context) (<-chan uint64, error) {
	ch, err := m.hub.Watch(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return ch, nil
}

// Close forgets everything and closes the channels of watchers.
func (m *Memory) Close() error {
	m.hub.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.facts = true, nil
	return nil
}

func (m *Memory) readyLocked(ctx context.Context) error {
	if m.closed {
		return fmt.Errorf("%w: the store is closed", ErrUnavailable)
	}
	return ctx.Err()
}

// findLocked returns where seq is, or would be.
func (m *Memory) findLocked(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(m.facts, seq, func(f Fact, seq uint64) int {
		switch {
		case f.Seq < seq:
			return -1
		case f.Seq > seq:
			return 1
		}
		return 0
	})
}

func (m *Memory) removeLocked(i int) {
	f := m.facts[i]
	delete(m.ids, f.ID)
	delete(m.drops, f.Seq)
	m.facts = slices.Delete(m.facts, i, i+1)
}

// compactLocked removes what is due at now.
func (m *Memory) compactLocked(now time.Time) {
	if m.next.IsZero() || now.Before(m.next) {
		return
	}
	m.next = time.Time{}
	m.facts = slices.DeleteFunc(m.facts, func(f Fact) bool {
		at, ok := m.drops[f.Seq]
		if !ok {
			return false
		}
		if now.Before(at) {
			if m.next.IsZero() || at.Before(m.next) {
				m.next = at
			}
			return false
		}
		if f.LeavesGap() {
			m.horizon = f.Seq
		}
		delete(m.ids, f.ID)
		delete(m.drops, f.Seq)
		return true
	})
}
