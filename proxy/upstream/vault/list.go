package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxFolders bounds the folders that one listing looks into: the vault lists one at a time.
const maxFolders = 1000

// walker collects names in their bytewise order, which is that of a walk: a folder sorts by its name with the slash, as
// everything below it does.
type walker struct {
	engine *engine
	part   string // what stands between mount and name
	after  string
	limit  int

	folders int
	items   []secret.Item
}

// walk lists the names at prefix and below, one request for each folder that may hold a name behind after, until there
// are limit of them. exists fails with secret.ErrNotFound where there is no secret at prefix itself; that we may not
// know hides it, and is asked last, so that a refusal needs no new login to be believed. Names that are no valid paths are
// left out: nobody can read them here.
func (e *engine) walk(ctx context.Context, part, prefix, after string, limit int, exists func(context.Context, string) error) ([]secret.Item, error) {
	w := &walker{engine: e, part: part, after: after, limit: limit}
	if prefix == "" {
		return w.items, w.folder(ctx, "")
	}
	if _, err := secret.ParsePath(prefix); err != nil {
		return nil, err
	}
	if err := w.folder(ctx, prefix+"/"); err != nil {
		return nil, err
	}
	if prefix <= after || limit <= 0 {
		return w.items, nil
	}
	switch err := exists(ctx, prefix); {
	case err == nil:
		return slices.Insert(w.items[:min(len(w.items), limit-1)], 0, secret.Item{Name: prefix}), nil
	case !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrDenied):
		return nil, err
	}
	return w.items, nil
}

// folder lists dir, which is "" or ends with a slash.
func (w *walker) folder(ctx context.Context, dir string) error {
	if len(w.items) >= w.limit || w.passed(dir) {
		return nil
	}
	keys, err := w.keys(ctx, dir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		name, isFolder := strings.CutSuffix(dir+key, "/")
		if _, err := secret.ParsePath(name); err != nil {
			continue
		}
		switch {
		case len(w.items) >= w.limit:
			return nil
		case isFolder:
			if err := w.folder(ctx, name+"/"); err != nil {
				return err
			}
		case name > w.after:
			w.items = append(w.items, secret.Item{Name: name})
		}
	}
	return nil
}

// passed reports whether every name below dir comes before what is asked for.
func (w *walker) passed(dir string) bool { return dir < w.after && !strings.HasPrefix(w.after, dir) }

// keys asks for the names in one folder, in order; folders end with a slash.
func (w *walker) keys(ctx context.Context, dir string) ([]string, error) {
	if w.folders++; w.folders > maxFolders {
		return nil, fmt.Errorf("%w: listing more than %d folders at once; ask for a longer prefix", secret.ErrUnsupported, maxFolders)
	}
	a, err := w.engine.get(ctx, w.engine.mount+"/"+w.part+dir, "list=true")
	if errors.Is(err, secret.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	n := data.Get("keys")
	if n == nil || n.Kind != strictjson.Array {
		return nil, malformed("keys")
	}
	keys := make([]string, len(n.Elems))
	for i := range n.Elems {
		var ok bool
		if keys[i], ok = n.Elems[i].Str(); !ok {
			return nil, malformed("keys")
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}
