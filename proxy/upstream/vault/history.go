package vault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// history is what the metadata of a secret tells.
type history struct {
	last     int64 // number of the newest version, 0 where there is none yet
	current  int64 // the same, or 0 where that was deleted or destroyed
	previous int64 // the newest before the current one that is neither deleted nor destroyed; 0 where there is none
	versions []entry
	metadata map[string]string
}

// entry is one version that the vault remembers.
type entry struct {
	number  int64
	created time.Time
	gone    bool // deleted or destroyed
	// destroyed: for good. A version that is only deleted can be brought back, in the vault.
	destroyed bool
}

// history reads the metadata of a secret, the newest version first.
func (v *kv2) history(ctx context.Context, name string) (*history, error) {
	path, err := v.path("metadata", name)
	if err != nil {
		return nil, err
	}
	a, err := v.get(ctx, path, "")
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	h := &history{}
	if h.metadata, err = customMetadata(data); err != nil {
		return nil, err
	}
	last, ok := data.Get("current_version").Int64()
	if !ok || last < 0 {
		return nil, malformed("current_version")
	}
	h.last = last
	versions := data.Get("versions")
	if versions == nil || versions.Kind != strictjson.Object {
		return nil, malformed("versions")
	}
	now := v.wall()
	for i := range versions.Members {
		e, err := readEntry(&versions.Members[i], now)
		if err != nil {
			return nil, err
		}
		h.versions = append(h.versions, e)
	}
	slices.SortFunc(h.versions, func(a, b entry) int { return int(b.number - a.number) })
	h.choose()
	return h, nil
}

func readEntry(m *strictjson.Member, now time.Time) (entry, error) {
	e := entry{}
	var ok bool
	if e.number, ok = number(secret.Version(m.Name)); !ok || m.Value.Kind != strictjson.Object {
		return e, malformed("versions")
	}
	var err error
	if e.created, err = moment(&m.Value, "created_time"); err != nil {
		return e, err
	}
	deleted, err := moment(&m.Value, "deletion_time")
	if err != nil {
		return e, err
	}
	destroyed := m.Value.Get("destroyed")
	if destroyed == nil || destroyed.Kind != strictjson.Bool {
		return e, malformed("destroyed")
	}
	// A deletion may lie in the future, where versions are deleted after a time.
	e.destroyed = destroyed.Bool
	e.gone = e.destroyed || !deleted.IsZero() && !deleted.After(now)
	return e, nil
}

// choose finds the current and the previous version. Where the newest is gone there is neither.
func (h *history) choose() {
	for _, e := range h.versions {
		switch {
		case e.gone:
		case e.number == h.last:
			h.current = e.number
		case h.current != 0:
			h.previous = e.number
			return
		}
	}
}

// Versions tells the versions that the vault remembers. Where the newest was deleted in the vault itself, and older ones
// can still be read, none of them is current.
func (v *kv2) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	h, err := v.history(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	if !slices.ContainsFunc(h.versions, func(e entry) bool { return !e.gone }) {
		return nil, fmt.Errorf("reading versions: %w: all are deleted", secret.ErrNotFound)
	}
	all := make([]secret.VersionInfo, len(h.versions))
	for i, e := range h.versions {
		state := secret.StateOld
		switch {
		case e.gone:
			state = secret.StateDestroyed
		case e.number == h.current:
			state = secret.StateCurrent
		case e.number == h.previous:
			state = secret.StatePrevious
		}
		all[i] = secret.VersionInfo{Version: versionName(e.number), CreatedAt: e.created, State: state}
	}
	return all, nil
}
