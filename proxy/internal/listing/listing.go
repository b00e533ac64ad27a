// Package listing answers pages of a listing for upstreams that cannot begin one behind a name. Its laws:
//
//   - Names come in the bytewise order that secret.Lister promises, whatever the upstream's is.
//   - Memory is bounded: a prefix with more names than 10,000 is not listed. What was fetched is kept for ten seconds, for
//     the pages that follow, and never for a first page.
package listing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Bounds of listings. Everything under a prefix is fetched to answer a page.
const (
	maxListed    = 10_000
	snapshotLife = 10 * time.Second
)

// Lister answers pages in the order that secret.Lister promises. What the first page fetched is kept for a moment, for
// the pages that follow it.
type Lister struct {
	// Fetch calls add with every name under the prefix, and maybe with others. It stops when add fails.
	Fetch func(ctx context.Context, prefix string, add func(secret.Item) error) error
	Wall  func() time.Time

	mu   sync.Mutex
	kept *snapshot
}

type snapshot struct {
	prefix string
	at     time.Time
	items  []secret.Item // sorted
}

// List is secret.Lister's. It fails with secret.ErrUnsupported where more than 10,000 names are under the prefix.
func (l *Lister) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	if err := secret.ContextError(ctx); err != nil {
		return nil, err
	}
	s := l.recent(prefix, after)
	if s == nil {
		s = &snapshot{prefix: prefix, at: l.Wall().Round(0)}
		err := l.Fetch(ctx, prefix, func(it secret.Item) error {
			if !under(it.Name, prefix) {
				return nil
			}
			if len(s.items) == maxListed {
				return fmt.Errorf("%w: listing more than %d names at once; ask for a longer prefix", secret.ErrUnsupported, maxListed)
			}
			s.items = append(s.items, it)
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(s.items, func(a, b secret.Item) int { return strings.Compare(a.Name, b.Name) })
		s.items = slices.CompactFunc(s.items, func(a, b secret.Item) bool { return a.Name == b.Name })
		l.mu.Lock()
		l.kept = s
		l.mu.Unlock()
	}
	from, found := slices.BinarySearchFunc(s.items, after, func(it secret.Item, after string) int { return strings.Compare(it.Name, after) })
	if found {
		from++
	}
	return slices.Clone(s.items[from:min(len(s.items), from+max(limit, 0))]), nil
}

// recent is what is kept for a page that follows another; nil where there is none, or where it is too old.
func (l *Lister) recent(prefix, after string) *snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		return nil
	}
	if age := l.Wall().Round(0).Sub(l.kept.at); age < 0 || age >= snapshotLife {
		l.kept = nil
	}
	if after == "" || l.kept == nil || l.kept.prefix != prefix {
		return nil
	}
	return l.kept
}

func under(name, prefix string) bool {
	return prefix == "" || name == prefix || len(name) > len(prefix) && name[len(prefix)] == '/' && strings.HasPrefix(name, prefix)
}
