package keyhole

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Read returns one version. Names are paths of the other node.
func (n *Node) Read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	s, err := n.read(ctx, name, version)
	if err != nil {
		return nil, fmt.Errorf("reading from a Keyhole: %w", err)
	}
	return s, nil
}

func (n *Node) read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	if version, err = secret.ParseVersion(string(version)); err != nil {
		return nil, fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	}
	query := ""
	if version != secret.Current {
		query = "version=" + string(version)
	}
	a, err := n.get(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	s, err := a.secret(name)
	if err != nil {
		return nil, err
	}
	err = s.Check()
	if version != secret.Current && version != secret.Previous && s.Version != version {
		err = malformed("version")
	}
	if err != nil {
		s.Wipe()
		return nil, fmt.Errorf("the secret of the other node: %w", err)
	}
	return s, nil
}

// pathOf is where the secret of that name is. A name that is no valid path names none; one that is needs no escapes.
func pathOf(name string) (string, error) {
	if _, err := secret.ParsePath(name); err != nil {
		return "", fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	}
	return "/v1/secrets/" + name, nil
}

// secret takes the secret out of an answer. It must be the one that was asked for: what stands before the node may mix
// answers up.
func (a *answer) secret(name string) (*secret.Secret, error) {
	data, err := a.data(strictjson.Object)
	if err != nil {
		return nil, err
	}
	if path, _ := data.Get("path").Str(); path != name {
		return nil, malformed("path")
	}
	s := &secret.Secret{}
	if s.Version, err = versionIn(data); err != nil {
		return nil, err
	}
	if s.CreatedAt, err = momentIn(data, "created_at"); err != nil {
		return nil, err
	}
	if s.Metadata, err = metadataIn(data); err != nil {
		return nil, err
	}
	if s.Age, s.Stale, err = a.freshness(); err != nil {
		return nil, err
	}
	value, fields := data.Get("value"), data.Get("fields")
	switch {
	case value != nil && value.Kind == strictjson.String && fields == nil:
		s.Value, err = valueIn(data, value)
	case fields != nil && fields.Kind == strictjson.Object && value == nil:
		s.Fields, err = fieldsIn(fields)
	default:
		err = malformed("value or fields")
	}
	return s, err
}

// valueIn moves the bytes out of the answer.
func valueIn(data, value *strictjson.Node) (secret.Value, error) {
	switch encoding, _ := data.Get("encoding").Str(); encoding {
	case "utf-8":
		b := value.Text
		value.Text = nil
		return secret.NewValue(b), nil
	case "base64":
		b := make([]byte, base64.StdEncoding.DecodedLen(len(value.Text)))
		n, err := base64.StdEncoding.Strict().Decode(b, value.Text)
		if err != nil {
			clear(b)
			return secret.Value{}, malformed("value")
		}
		return secret.NewValue(b[:n]), nil
	}
	return secret.Value{}, malformed("encoding")
}

func fieldsIn(fields *strictjson.Node) ([]secret.Field, error) {
	for i := range fields.Members {
		if fields.Members[i].Value.Kind != strictjson.String {
			return nil, malformed("fields")
		}
	}
	return jsonfields.Of(fields), nil
}

// freshness is how old the value is where it comes from, and whether it is stale there. The header counts whole seconds,
// and what stands on the way may have added to it (RFC 9111 section 5.1).
func (a *answer) freshness() (time.Duration, bool, error) {
	meta := a.root.Get("meta")
	if meta == nil || meta.Kind != strictjson.Object {
		return 0, false, malformed("meta")
	}
	ms, ok := meta.Get("age_ms").Int64()
	stale := meta.Get("stale")
	if !ok || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) || stale == nil || stale.Kind != strictjson.Bool {
		return 0, false, malformed("age_ms and stale")
	}
	age := time.Duration(ms) * time.Millisecond
	if seconds, err := strconv.ParseUint(a.header.Get("Age"), 10, 31); err == nil {
		age = max(age, time.Duration(seconds)*time.Second)
	}
	return age, stale.Bool, nil
}

// date is the time by the clock of whoever answered, to the second; zero where it does not say.
func (a *answer) date() time.Time {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}
