package keyhole

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// pageSize is how many names are asked for at once: the most that the native API gives.
const pageSize = 500

// maxPages bounds a listing, of which pages may be empty: only so many names are examined for each.
const maxPages = 100

// List tells what the other node lets us list, with what it tells of each.
func (n *Node) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	items, err := n.names.List(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing a Keyhole: %w", err)
	}
	return items, nil
}

// fetch is listing.Lister's.
func (n *Node) fetch(ctx context.Context, prefix string, add func(secret.Item) error) error {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if prefix != "" {
		if _, err := secret.ParsePath(prefix); err != nil {
			return err
		}
		query.Set("prefix", prefix)
	}
	for range maxPages {
		next, err := n.page(ctx, query.Encode(), add)
		if err != nil || next == "" {
			return err
		}
		query.Set("page", next)
	}
	return fmt.Errorf("%w: listing more than %d pages at once; ask for a longer prefix", secret.ErrUnsupported, maxPages)
}

func (n *Node) page(ctx context.Context, query string, add func(secret.Item) error) (next string, err error) {
	a, err := n.get(ctx, "/v1/secrets", query)
	if err != nil {
		return "", err
	}
	defer a.wipe()
	data, err := a.data(strictjson.Array)
	if err != nil {
		return "", err
	}
	for i := range data.Elems {
		it, err := itemIn(&data.Elems[i])
		if err == nil {
			err = add(it)
		}
		if err != nil {
			return "", err
		}
	}
	if page := a.root.Get("next_page"); page != nil {
		var ok bool
		if next, ok = page.Str(); !ok {
			return "", malformed("next_page")
		}
	}
	return next, nil
}

func itemIn(n *strictjson.Node) (it secret.Item, err error) {
	it.Name, _ = n.Get("path").Str()
	if _, err := secret.ParsePath(it.Name); err != nil {
		return it, malformed("path")
	}
	if n.Get("version") != nil {
		if it.Version, err = versionIn(n); err != nil {
			return it, err
		}
	}
	if it.UpdatedAt, err = momentIn(n, "updated_at"); err != nil {
		return it, err
	}
	it.Metadata, err = metadataIn(n)
	return it, err
}

// Versions tells the versions that the other node tells of. It needs a scope for listing there.
func (n *Node) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	all, err := n.versions(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading versions of a Keyhole: %w", err)
	}
	return all, nil
}

func (n *Node) versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	a, err := n.get(ctx, path+":versions", "")
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data(strictjson.Array)
	if err != nil {
		return nil, err
	}
	all := make([]secret.VersionInfo, len(data.Elems))
	for i := range data.Elems {
		n := &data.Elems[i]
		if all[i].Version, err = versionIn(n); err != nil {
			return nil, err
		}
		if all[i].CreatedAt, err = momentIn(n, "created_at"); err != nil {
			return nil, err
		}
		text, _ := n.Get("state").Str()
		switch state := secret.VersionState(text); state {
		case secret.StateCurrent, secret.StatePrevious, secret.StateOld, secret.StateDestroyed:
			all[i].State = state
		default:
			return nil, malformed("state")
		}
	}
	return all, nil
}

func versionIn(n *strictjson.Node) (secret.Version, error) {
	text, _ := n.Get("version").Str()
	v, err := secret.ParseVersion(text)
	if err != nil || text == "" || v == secret.Current || v == secret.Previous {
		return "", malformed("version")
	}
	return v, nil
}

// momentIn is a member that is a time or not there.
func momentIn(n *strictjson.Node, name string) (time.Time, error) {
	m := n.Get(name)
	if m == nil {
		return time.Time{}, nil
	}
	text, _ := m.Str()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, malformed(name)
	}
	return at.UTC(), nil
}

// metadataIn is nil where there is none.
func metadataIn(n *strictjson.Node) (map[string]string, error) {
	m := n.Get("metadata")
	if m == nil {
		return nil, nil
	}
	if m.Kind != strictjson.Object {
		return nil, malformed("metadata")
	}
	out := make(map[string]string, len(m.Members))
	for i := range m.Members {
		text, ok := m.Members[i].Value.Str()
		if !ok {
			return nil, malformed("metadata")
		}
		out[m.Members[i].Name] = text
	}
	return out, nil
}
