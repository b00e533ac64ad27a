package parameterstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Versions returns the versions that are kept: a hundred at most.
func (s *Store) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	full, in, err := resource(name)
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	var all []secret.VersionInfo
	err = s.base.Client.Pages(ctx, awsjson.Request{Action: "GetParameterHistory", Region: in, Most: maxMany}, pageSize,
		jsontext.AppendString([]byte(`"WithDecryption":false,"Name":`), full), func(root *strictjson.Node) error {
			list, err := awsjson.Elements(root, "Parameters")
			for i := range list {
				v := secret.VersionInfo{State: secret.StateOld}
				if v.Version, err = versionOf(&list[i]); err != nil {
					return err
				}
				if v.CreatedAt, err = awsjson.Moment(&list[i], "LastModifiedDate"); err != nil {
					return err
				}
				all = append(all, v)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("reading versions: %w", awsjson.Malformed("Parameters"))
	}
	slices.SortFunc(all, func(a, b secret.VersionInfo) int { return secret.CompareNumbers(b.Version, a.Version) })
	all[0].State = secret.StateCurrent
	if n, _ := number(all[0].Version); len(all) > 1 && all[1].Version == versionName(n-1) {
		all[1].State = secret.StatePrevious
	}
	return all, nil
}

// List returns names of our own account and region. Of an ARN it tells whether there is a parameter, and nothing of what
// lies below it.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	items, err := s.base.Lister.List(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing parameters: %w", err)
	}
	return items, nil
}

func (s *Store) fetch(ctx context.Context, prefix string, add func(secret.Item) error) error {
	if _, ok := awsjson.ParseARN(prefix); ok {
		return s.itself(ctx, prefix, add)
	}
	return s.base.Client.Pages(ctx, awsjson.Request{Action: "DescribeParameters", Most: maxMany}, pageSize, filter(prefix),
		func(root *strictjson.Node) error {
			list, err := awsjson.Elements(root, "Parameters")
			for i := range list {
				full, err := awsjson.Text(&list[i], "Name")
				if err != nil {
					return err
				}
				name, ok := nameOf(full)
				if !ok {
					continue
				}
				it := secret.Item{Name: name}
				if it.Version, err = versionOf(&list[i]); err != nil {
					return err
				}
				if it.UpdatedAt, err = awsjson.Moment(&list[i], "LastModifiedDate"); err != nil {
					return err
				}
				if err := add(it); err != nil {
					return err
				}
			}
			return err
		})
}

// filter is for names that begin with the prefix, which is more than what lies under it.
func filter(prefix string) []byte {
	if prefix == "" {
		return nil
	}
	b := []byte(`"ParameterFilters":[{"Key":"Name","Option":"BeginsWith","Values":[`)
	b = jsontext.AppendString(b, "/"+prefix)
	if !strings.Contains(prefix, "/") { // a parameter of this name is in no hierarchy
		b = jsontext.AppendString(append(b, ','), prefix)
	}
	return append(b, `]}]`...)
}

func (s *Store) itself(ctx context.Context, arn string, add func(secret.Item) error) error {
	got, err := s.one(ctx, arn, "")
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	got.Wipe()
	return add(secret.Item{Name: arn, Version: got.Version, UpdatedAt: got.CreatedAt})
}
