package secretsmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Versions returns what Secrets Manager remembers, those without a staging label included, which it may drop at any time.
// The current version stands first, though a label may have been moved back to an older one.
func (m *Manager) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	in, err := region(name)
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	var all []secret.VersionInfo
	err = m.base.Client.Pages(ctx, awsjson.Request{Action: "ListSecretVersionIds", Region: in, Most: maxTold}, pageSize,
		jsontext.AppendString([]byte(`"IncludeDeprecated":true,"SecretId":`), name), func(root *strictjson.Node) error {
			if err := m.meant(name, root); err != nil {
				return err
			}
			versions, err := awsjson.Elements(root, "Versions")
			for i := range versions {
				v, err := version(&versions[i])
				if err != nil {
					return err
				}
				all = append(all, v)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	place := map[secret.VersionState]int{secret.StateCurrent: 0, secret.StatePrevious: 1, secret.StateOld: 2}
	slices.SortStableFunc(all, func(a, b secret.VersionInfo) int {
		return cmp.Or(cmp.Compare(place[a.State], place[b.State]), b.CreatedAt.Compare(a.CreatedAt))
	})
	return all, nil
}

func version(n *strictjson.Node) (secret.VersionInfo, error) {
	v := secret.VersionInfo{State: secret.StateOld}
	var err error
	if v.Version, err = awsjson.Version(n, "VersionId"); err != nil {
		return v, err
	}
	if v.CreatedAt, err = awsjson.Moment(n, "CreatedDate"); err != nil {
		return v, err
	}
	switch stages := n.Get("VersionStages"); {
	case has(stages, "AWSCURRENT"):
		v.State = secret.StateCurrent
	case has(stages, "AWSPREVIOUS"):
		v.State = secret.StatePrevious
	}
	return v, nil
}

func has(list *strictjson.Node, want string) bool {
	if list == nil {
		return false
	}
	for i := range list.Elems {
		if s, ok := list.Elems[i].Str(); ok && s == want {
			return true
		}
	}
	return false
}

// List returns names of our own account and region. Of an ARN, which names one secret, it tells whether that is there.
func (m *Manager) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	items, err := m.base.Lister.List(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing secrets: %w", err)
	}
	return items, nil
}

func (m *Manager) fetch(ctx context.Context, prefix string, add func(secret.Item) error) error {
	if _, ok := awsjson.ParseARN(prefix); ok {
		return m.itself(ctx, prefix, add)
	}
	var filter []byte
	if prefix != "" {
		filter = append(jsontext.AppendString([]byte(`"Filters":[{"Key":"name","Values":[`), prefix), `]}]`...)
	}
	return m.base.Client.Pages(ctx, awsjson.Request{Action: "ListSecrets", Most: maxTold}, pageSize, filter, func(root *strictjson.Node) error {
		list, err := awsjson.Elements(root, "SecretList")
		for i := range list {
			it, err := item(&list[i])
			if err != nil {
				return err
			}
			// Names that are no valid paths are left out: nobody can read them here.
			if _, err := secret.ParsePath(it.Name); err != nil {
				continue
			}
			if err := add(it); err != nil {
				return err
			}
		}
		return err
	})
}

func item(n *strictjson.Node) (it secret.Item, err error) {
	if it.Name, err = awsjson.Text(n, "Name"); err != nil {
		return it, err
	}
	if it.UpdatedAt, err = awsjson.Moment(n, "LastChangedDate"); err != nil {
		return it, err
	}
	if stages := n.Get("SecretVersionsToStages"); stages != nil {
		for i := range stages.Members {
			if has(&stages.Members[i].Value, "AWSCURRENT") {
				it.Version = secret.Version(stages.Members[i].Name)
			}
		}
	}
	return it, nil
}

func (m *Manager) itself(ctx context.Context, arn string, add func(secret.Item) error) error {
	all, err := m.Versions(ctx, arn)
	switch {
	case errors.Is(err, secret.ErrNotFound), err == nil && len(all) == 0:
		return nil
	case err != nil:
		return err
	}
	return add(secret.Item{Name: arn, Version: all[0].Version, UpdatedAt: all[0].CreatedAt})
}
