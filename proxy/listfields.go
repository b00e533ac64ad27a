package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxFieldObjects bounds the objects that one listing of a mount of fields reads.
const maxFieldObjects = 500

// collectFields reads the objects of a mount of the layout Fields: their fields are the paths. Names of objects and of
// fields sort differently than the paths they make, so all are collected first. Objects are read only where a list
// scope can match below them and the cursor has not passed them.
func (s *stream) collectFields(ctx context.Context, scopes policy.Scopes, r ListRequest) error {
	s.ended = true
	prefix := s.prefix
	if r.Prefix.Under(s.mount.Path) && r.Prefix != s.mount.Path {
		// The last segment of the prefix may be a field.
		prefix = prefix[:max(strings.LastIndexByte(prefix, '/'), 0)]
	}
	reads := 0
	for after := ""; ; {
		items, err := s.mount.lister.List(ctx, prefix, after, pageSize)
		if err != nil {
			return explained(err)
		}
		for _, it := range items {
			after = it.Name
			path, ok := s.mount.path(it.Name)
			if !ok || !scopes.CanMatchUnder(policy.List, path) || path.String()+"/~" < r.After {
				continue
			}
			if !path.Under(r.Prefix) && !r.Prefix.Under(path) {
				continue // a neighbour of what the prefix names
			}
			if reads++; reads > maxFieldObjects {
				return fail(api.InvalidRequest, fmt.Sprintf("more than %d objects hold the fields under this prefix; ask for a longer one", maxFieldObjects))
			}
			if err := s.addFields(ctx, path, it, r); err != nil {
				return err
			}
		}
		if len(items) < pageSize {
			break
		}
	}
	slices.SortFunc(s.page, func(a, b Listed) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	return nil
}

func (s *stream) addFields(ctx context.Context, object secret.Path, it secret.Item, r ListRequest) error {
	obj, err := s.mount.part.Read(ctx, it.Name, secret.Current)
	if errors.Is(err, secret.ErrNotFound) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return explained(err)
	}
	defer obj.Wipe()
	if spread(obj) != nil {
		return nil // it has no fields to list; whoever reads one hears of it
	}
	for _, f := range obj.Fields {
		path, err := object.Join(f.Name)
		if err == nil && path.Under(r.Prefix) && path.String() > r.After {
			s.page = append(s.page, Listed{Path: path, Mount: s.mount.Path.String(), Item: it})
		}
	}
	return nil
}
