package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"unicode"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxRounds bounds how often a write without a condition is made anew because others wrote the same secret.
const maxRounds = 64

// maxMetadataValue is the most that the vault takes for one value of custom metadata, in bytes.
const maxMetadataValue = 512

// Write stores fields as a new version, by check-and-set against the metadata that was just read: a secret whose current
// version is deleted counts as one that does not exist. The engine holds no opaque values. The metadata belongs to all
// versions and follows in a request of its own; where that fails, the version is there all the same.
func (v *kv2) Write(ctx context.Context, name string, w secret.Write) (secret.Version, bool, error) {
	n, created, err := v.write(ctx, name, w)
	if err != nil {
		return "", false, fmt.Errorf("writing to vault: %w", err)
	}
	return versionName(n), created, nil
}

func (v *kv2) write(ctx context.Context, name string, w secret.Write) (n int64, created bool, err error) {
	path, err := v.path("data", name)
	if err != nil {
		return 0, false, err
	}
	if err := writable(w.Secret); err != nil {
		return 0, false, err
	}
	for range maxRounds {
		h, err := v.history(ctx, name)
		if errors.Is(err, secret.ErrNotFound) {
			h, err = &history{}, nil
		}
		if err != nil {
			return 0, false, err
		}
		if err := h.permits(w.IfVersion); err != nil {
			return 0, false, err
		}
		n, err = v.put(ctx, path, w.Secret.Fields, h.last)
		// Somebody wrote in between. Without a condition that is none of our caller's business, and each time round
		// somebody has got on.
		if errors.Is(err, secret.ErrConflict) && w.IfVersion == "" {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		if w.Secret.Metadata != nil && !maps.Equal(w.Secret.Metadata, h.metadata) {
			err = v.describe(ctx, name, w.Secret.Metadata)
		}
		return n, h.current == 0, err
	}
	return 0, false, fmt.Errorf("%w: others keep writing the same secret", secret.ErrUnavailable)
}

// permits holds the condition of a write against what is there.
func (h *history) permits(want secret.Version) error {
	if want == "" || want == "0" && h.current == 0 {
		return nil
	}
	if n, ok := number(want); ok && n == h.current {
		return nil
	}
	return fmt.Errorf("%w: the current version is %d", secret.ErrConflict, h.current)
}

// writable holds a secret against what the engine stores.
func writable(s *secret.Secret) error {
	if s == nil {
		return fmt.Errorf("%w: there is none", secret.ErrInvalidSecret)
	}
	if err := s.Check(); err != nil {
		return err
	}
	if s.Fields == nil {
		return fmt.Errorf("%w: a key/value engine holds fields, no opaque value", secret.ErrInvalidSecret)
	}
	for k, text := range s.Metadata {
		if text == "" || len(text) > maxMetadataValue || bytes.ContainsFunc([]byte(text), func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%w: metadata %q is empty, over %d bytes, or not printable, which the vault does not take", secret.ErrInvalidSecret, k, maxMetadataValue)
		}
	}
	return nil
}

// put writes a version if last is the number of the newest.
func (v *kv2) put(ctx context.Context, path string, fields []secret.Field, last int64) (int64, error) {
	size := 64
	for _, f := range fields {
		size += jsonfields.QuotedLen(f.Name) + jsonfields.QuotedLen(f.Value.Reveal()) + 2
	}
	body := append(make([]byte, 0, size), `{"options":{"cas":`...)
	body = strconv.AppendInt(body, last, 10)
	body = append(body, `},"data":{`...)
	for i, f := range fields {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(jsontext.AppendString(body, f.Name), ':')
		body = jsontext.AppendString(body, f.Value.Reveal())
	}
	body = append(body, "}}"...)
	defer clear(body)
	a, err := v.call(ctx, request{method: http.MethodPost, path: path, body: body})
	if err != nil {
		return 0, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return 0, err
	}
	n, ok := data.Get("version").Int64()
	if !ok || n != last+1 {
		return 0, malformed("version")
	}
	return n, nil
}

// describe sets the metadata of a secret; empty clears it.
func (v *kv2) describe(ctx context.Context, name string, metadata map[string]string) error {
	path, err := v.path("metadata", name)
	if err != nil {
		return err
	}
	body := []byte(`{"custom_metadata":{`)
	for i, k := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(jsontext.AppendString(body, k), ':')
		body = jsontext.AppendString(body, metadata[k])
	}
	return v.post(ctx, path, append(body, "}}"...))
}

// Delete destroys every version, for good. The metadata stays, so that numbers go on where they stood; the name stays
// in listings with it.
func (v *kv2) Delete(ctx context.Context, name string) error {
	if err := v.destroy(ctx, name); err != nil {
		return fmt.Errorf("deleting from vault: %w", err)
	}
	return nil
}

func (v *kv2) destroy(ctx context.Context, name string) error {
	h, err := v.history(ctx, name)
	if errors.Is(err, secret.ErrInvalidPath) {
		return err
	}
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	body := []byte(`{"versions":[`)
	alive := 0
	for _, e := range h.versions {
		if e.destroyed {
			continue
		}
		if alive++; alive > 1 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, e.number, 10)
	}
	if alive == 0 {
		return nil
	}
	path, err := v.path("destroy", name)
	if err != nil {
		return err
	}
	return v.post(ctx, path, append(body, "]}"...))
}

func (v *kv2) post(ctx context.Context, path string, body []byte) error {
	a, err := v.call(ctx, request{method: http.MethodPost, path: path, body: body})
	if err == nil {
		a.wipe()
	}
	return err
}
