package vault

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// kv2 is version 2 of the engine.
type kv2 struct {
	*engine
	wall func() time.Time
}

// Read returns one version. Previous costs a look at the metadata, and needs the capability to read it.
func (v *kv2) Read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	s, err := v.read(ctx, name, version)
	if err != nil {
		return nil, fmt.Errorf("reading from vault: %w", err)
	}
	return s, nil
}

func (v *kv2) read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	path, err := v.path("data", name)
	if err != nil {
		return nil, err
	}
	want := int64(0) // the current one
	switch version {
	case secret.Current:
	case secret.Previous:
		h, err := v.history(ctx, name)
		if err != nil {
			return nil, err
		}
		if want = h.previous; want == 0 {
			return nil, secret.ErrNotFound
		}
	default:
		var ok bool
		if want, ok = number(version); !ok {
			return nil, secret.ErrNotFound
		}
	}
	query := ""
	if want != 0 {
		query = "version=" + strconv.FormatInt(want, 10)
	}
	a, err := v.get(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	return a.version(want)
}

// number reads the name of a version.
func number(v secret.Version) (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == string(v)
}

func versionName(n int64) secret.Version { return secret.Version(strconv.FormatInt(n, 10)) }

// version reads a secret from the answer to a read of version want; 0 is any.
func (a *answer) version(want int64) (*secret.Secret, error) {
	outer, err := a.data()
	if err != nil {
		return nil, err
	}
	data, meta := outer.Get("data"), outer.Get("metadata")
	if data == nil || data.Kind != strictjson.Object || meta == nil || meta.Kind != strictjson.Object {
		return nil, malformed("data and metadata")
	}
	n, ok := meta.Get("version").Int64()
	if !ok || n < 1 || want != 0 && n != want {
		return nil, malformed("version")
	}
	created, err := moment(meta, "created_time")
	if err != nil {
		return nil, err
	}
	metadata, err := customMetadata(meta)
	if err != nil {
		return nil, err
	}
	s := fields(data)
	s.Version, s.CreatedAt, s.Metadata = versionName(n), created, metadata
	return checked(s)
}

// CompareVersions goes by the number.
func (v *kv2) CompareVersions(a, b secret.Version) int { return secret.CompareNumbers(a, b) }

// List returns names only: versions and metadata would cost a request for each. A name is listed as long as the vault
// keeps metadata of it, also where all versions are deleted. See walk for what it costs.
func (v *kv2) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	items, err := v.walk(ctx, "metadata/", prefix, after, limit, func(ctx context.Context, name string) error {
		_, err := (&kv2{engine: v.believing(), wall: v.wall}).history(ctx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing vault: %w", err)
	}
	return items, nil
}
