// Package secretsmanager reads the secrets of AWS Secrets Manager.
//
// Its laws:
//   - A name is that of a secret, or the ARN of one, whose region is then asked. SecretString and SecretBinary are the
//     value, byte for byte.
//   - A secret has one name below an ARN: its own. Its complete ARN, with six random characters at the end, would be a
//     second one past the rules for the first, and is taken only where a mount stands at it.
//   - A version is named by its id; a name too short or too long for one is taken for a staging label. Current is
//     AWSCURRENT, Previous is AWSPREVIOUS: both are what Secrets Manager says, not what was written last.
//   - Reads of current versions that are wanted at the same time are one call of BatchGetSecretValue. Where that is not
//     allowed, each is a GetSecretValue.
//   - Nothing is written: Secrets Manager cannot compare and set, and rotation is its own.
//   - A secret that is marked for deletion is not found.
//
// Version ids are the choice of whoever writes, and may come again after a secret was deleted and made anew; their order
// tells nothing.
package secretsmanager

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/batch"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Limits of calls. Secrets are of 64 KiB at most; an emulator may allow more.
const (
	maxBatch   = 20       // names in one BatchGetSecretValue
	maxOne     = 4 << 20  // bytes of an answer with one secret
	maxMany    = 16 << 20 // bytes of an answer with maxBatch secrets
	maxTold    = 4 << 20  // bytes of an answer without values
	minIDBytes = 32       // of a version id,
	maxIDBytes = 64       // which is at most that long
	pageSize   = 100      // entries of one page
)

// Config says where the secrets are. Its Service is set by New.
type Config = awsjson.Config

// Manager is an upstream that is a secret.Lister, a secret.Versioner, a secret.Located and a secret.Checker.
type Manager struct {
	base     awsjson.Base
	complete []string // ARNs
}

// New returns an upstream. complete is the ARNs that may be read as they are, with their random end.
func New(c Config, complete ...string) (*Manager, error) {
	m := &Manager{complete: complete}
	err := m.base.Open(c, awsjson.Shape{
		Service: awsjson.Service{Name: "secretsmanager", Target: "secretsmanager."}, Most: maxBatch, Many: m.many, Fetch: m.fetch,
		One: func(ctx context.Context, name string) (*secret.Secret, error) {
			return m.one(ctx, name, secret.Current)
		},
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Read returns one version.
func (m *Manager) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	read := m.one
	if _, err := secret.ParsePath(name); err == nil && (v == secret.Current || v == "") {
		read = func(ctx context.Context, name string, _ secret.Version) (*secret.Secret, error) {
			return m.base.Batch.Read(ctx, name)
		}
	}
	s, err := read(ctx, name, v)
	if err != nil {
		return nil, fmt.Errorf("reading a secret: %w", err)
	}
	return s, nil
}

// region is where a name is to be asked for: "" is the client's own. A name that is neither path nor ARN names no secret.
func region(name string) (string, error) {
	if a, ok := awsjson.ParseARN(name); ok && a.Service == "secretsmanager" && strings.HasPrefix(a.Resource, "secret:") {
		return a.Region, nil
	}
	if _, err := secret.ParsePath(name); err != nil {
		return "", fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	}
	return "", nil
}

// one is a GetSecretValue.
func (m *Manager) one(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	in, err := region(name)
	if err != nil {
		return nil, err
	}
	body := jsontext.AppendString([]byte(`{"SecretId":`), name)
	switch {
	case v == secret.Current, v == "":
		body = append(body, `,"VersionStage":"AWSCURRENT"}`...)
	case v == secret.Previous:
		body = append(body, `,"VersionStage":"AWSPREVIOUS"}`...)
	case minIDBytes <= len(v) && len(v) <= maxIDBytes:
		body = append(jsontext.AppendString(append(body, `,"VersionId":`...), string(v)), '}')
	default:
		body = append(jsontext.AppendString(append(body, `,"VersionStage":`...), string(v)), '}')
	}
	root, err := m.base.Client.Call(ctx, awsjson.Request{Action: "GetSecretValue", Region: in, Body: body, Most: maxOne})
	if err != nil {
		return nil, err
	}
	defer root.Wipe()
	if err := m.meant(name, root); err != nil {
		return nil, err
	}
	m.base.Told(name, root)
	_, s, err := decode(root)
	return s, err
}

// meant makes sure that an answer is about the secret with that name, and not one that Secrets Manager finds by it too.
func (m *Manager) meant(name string, answer *strictjson.Node) error {
	if slices.Contains(m.complete, name) {
		return nil
	}
	if a, ok := awsjson.ParseARN(name); ok {
		name = strings.TrimPrefix(a.Resource, "secret:")
	}
	switch told, err := awsjson.Text(answer, "Name"); {
	case err != nil:
		return err
	case told != name:
		return fmt.Errorf("%w: what is found has another name", secret.ErrNotFound)
	}
	return nil
}

// many is a BatchGetSecretValue, and as many more as it takes for what did not fit into the first answer.
func (m *Manager) many(ctx context.Context, names []string) (map[string]batch.Result, error) {
	out := make(map[string]batch.Result, len(names))
	next := ""
	for range names { // one answer holds one secret at least
		body := []byte(`{"SecretIdList":[`)
		for i, name := range names {
			if i > 0 {
				body = append(body, ',')
			}
			body = jsontext.AppendString(body, name)
		}
		body = append(body, ']')
		if next != "" {
			body = jsontext.AppendString(append(body, `,"NextToken":`...), next)
		}
		root, err := m.base.Client.Call(ctx, awsjson.Request{Action: "BatchGetSecretValue", Body: append(body, '}'), Most: maxMany})
		if err == nil {
			next, err = m.decodeMany(root, out)
			root.Wipe()
		}
		if err != nil {
			return partly(names, out, err)
		}
		if next == "" {
			break
		}
	}
	return out, nil
}

// partly is what a batch comes to that failed after the first of its answers: what they told holds, and the rest failed.
func partly(names []string, out map[string]batch.Result, err error) (map[string]batch.Result, error) {
	if len(out) == 0 {
		return nil, err
	}
	err = guard.Shared(err)
	for _, name := range names {
		if _, told := out[name]; !told && !awsjson.Refused(err) {
			out[name] = batch.Result{Err: err}
		}
	}
	return out, nil
}

func (m *Manager) decodeMany(root *strictjson.Node, out map[string]batch.Result) (next string, err error) {
	values, err := awsjson.Elements(root, "SecretValues")
	if err != nil {
		return "", err
	}
	for i := range values {
		name, s, err := decode(&values[i])
		if name != "" {
			m.base.Told(name, &values[i])
			if old := out[name].Secret; old != nil {
				old.Wipe()
			}
			out[name] = batch.Result{Secret: s, Err: err}
		}
	}
	failures, err := awsjson.Elements(root, "Errors")
	if err != nil {
		return "", err
	}
	for i := range failures {
		// One of them alone says for sure whether our credentials or the secret is meant.
		id, _ := failures[i].Get("SecretId").Str()
		code, _ := failures[i].Get("ErrorCode").Str()
		message, _ := failures[i].Get("Message").Str()
		if err := awsjson.Explain(code, message); errors.Is(err, secret.ErrNotFound) {
			out[id] = batch.Result{Err: err}
		}
	}
	return awsjson.OptionalText(root, "NextToken")
}

// decode reads one secret and its name, which is "" where it has none.
func decode(n *strictjson.Node) (name string, s *secret.Secret, err error) {
	if name, err = awsjson.Text(n, "Name"); err != nil {
		return "", nil, err
	}
	s = &secret.Secret{}
	if s.Version, err = awsjson.Version(n, "VersionId"); err != nil {
		return name, nil, err
	}
	if s.CreatedAt, err = awsjson.Moment(n, "CreatedDate"); err != nil {
		return name, nil, err
	}
	var b []byte
	if b, s.Binary, err = content(n); err != nil {
		return name, nil, err
	}
	s.Value = secret.NewValue(b)
	s, err = awsjson.Checked(s)
	return name, s, err
}

// content is SecretString, or SecretBinary, which is base64 on the wire.
func content(n *strictjson.Node) (content []byte, binary bool, err error) {
	if m := n.Get("SecretString"); m != nil && m.Kind != strictjson.Null {
		content, err = awsjson.Take(n, "SecretString")
		return content, false, err
	}
	m := n.Get("SecretBinary")
	if m == nil || m.Kind != strictjson.String {
		return nil, false, awsjson.Malformed("SecretString or SecretBinary")
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(m.Text)))
	size, err := base64.StdEncoding.Decode(b, m.Text)
	if err != nil {
		clear(b)
		return nil, false, awsjson.Malformed("SecretBinary")
	}
	return b[:size], true, nil
}

// Location implements secret.Located.
func (m *Manager) Location(name string) secret.Location { return m.base.Location(name) }

// Close ends the calls that are under way and waits for them.
func (m *Manager) Close() error { return m.base.Close() }
