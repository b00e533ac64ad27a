// Package parameterstore reads the parameters of AWS Systems Manager Parameter Store.
//
// Its laws:
//   - The name a/b is that of the parameter /a/b, for a parameter in a hierarchy has a slash before it; the name a, which
//     is in none, is that of the parameter a. The ARN of a parameter is its name as well, and its region is then asked.
//   - The value is that of a String, StringList or SecureString, decrypted.
//   - A version is named by its number; a label names the version that carries it. Previous is the number before the
//     current one, where it is still kept.
//   - Reads of current versions that are wanted at the same time are one call of GetParameters. Where that is not
//     allowed, each is a GetParameter.
//   - References to other services, below /aws/reference, are not found: they would be a second way to secrets that have
//     paths and rules of their own.
//   - Nothing is written: Parameter Store cannot compare and set.
//   - Listings never ask for values.
//
// Numbers rise, but begin anew where a parameter is deleted and made again.
package parameterstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/batch"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Limits of calls. Parameters are of 8 KiB at most; an emulator may allow more.
const (
	maxBatch  = 10      // names in one GetParameters
	maxOne    = 4 << 20 // bytes of an answer with one parameter
	maxMany   = 8 << 20 // bytes of an answer with more of them
	pageSize  = 50      // entries of one page
	maxLevels = 15      // of a hierarchy
)

// Config says where the parameters are. Its Service is set by New.
type Config = awsjson.Config

// Store is an upstream that is a secret.Lister, secret.Versioner, secret.OrderedVersions, secret.Located and secret.Checker.
type Store struct{ base awsjson.Base }

// New returns an upstream.
func New(c Config) (*Store, error) {
	s := &Store{}
	err := s.base.Open(c, awsjson.Shape{
		Service: awsjson.Service{Name: "ssm", Target: "AmazonSSM."}, Most: maxBatch, Many: s.many, Fetch: s.fetch,
		One: func(ctx context.Context, name string) (*secret.Secret, error) { return s.one(ctx, name, "") },
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Read returns one version.
func (s *Store) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	got, err := s.read(ctx, name, v)
	if err != nil {
		return nil, fmt.Errorf("reading a parameter: %w", err)
	}
	return got, nil
}

func (s *Store) read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	switch {
	case v == secret.Current, v == "":
		if _, err := secret.ParsePath(name); err == nil {
			return s.base.Batch.Read(ctx, name)
		}
		return s.one(ctx, name, "")
	case v == secret.Previous:
		current, err := s.one(ctx, name, "")
		if err != nil {
			return nil, err
		}
		current.Wipe()
		n, ok := number(current.Version)
		if !ok {
			return nil, awsjson.Malformed("Version")
		}
		if n < 2 {
			return nil, fmt.Errorf("%w: it has one version", secret.ErrNotFound)
		}
		return s.one(ctx, name, versionName(n-1))
	case !selector(v):
		return nil, fmt.Errorf("%w: no version has such a name", secret.ErrNotFound)
	}
	return s.one(ctx, name, v)
}

// number is the number that a version is named by.
func number(v secret.Version) (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil && n > 0 && versionName(n) == v
}

func versionName(n int64) secret.Version { return secret.Version(strconv.FormatInt(n, 10)) }

// selector reports whether v can be a number or a label, which begins with a letter.
func selector(v secret.Version) bool {
	if _, ok := number(v); ok {
		return true
	}
	c := v[0] | 0x20
	return 'a' <= c && c <= 'z' && len(v) <= 100
}

// resource is what Parameter Store calls a name, and the region to ask: "" is the client's own.
func resource(name string) (resource, in string, err error) {
	if a, ok := awsjson.ParseARN(name); ok && a.Service == "ssm" && strings.HasPrefix(a.Resource, "parameter/") {
		if reference(a.Resource[len("parameter/"):]) {
			return "", "", errReference
		}
		return name, a.Region, nil
	}
	p, err := secret.ParsePath(name)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	case reference(name):
		return "", "", errReference
	case p.Segments() > maxLevels:
		return "", "", fmt.Errorf("%w: no parameter has more than %d levels", secret.ErrNotFound, maxLevels)
	case p.Segments() == 1:
		return name, "", nil
	}
	return "/" + name, "", nil
}

var errReference = fmt.Errorf("%w: it would be a reference to another service", secret.ErrNotFound)

// reference reports whether Parameter Store would answer with what another service keeps, such as every secret of Secrets
// Manager that our credentials may read. That is for a mount of its own, whose rules are about those secrets.
func reference(name string) bool {
	const below = "aws/reference/"
	return len(name) >= len(below) && strings.EqualFold(name[:len(below)], below)
}

// name is the opposite of resource, for what listings tell; ok is false for a name that cannot be read here.
func nameOf(resource string) (name string, ok bool) {
	name, hierarchy := strings.CutPrefix(resource, "/")
	p, err := secret.ParsePath(name)
	return name, err == nil && hierarchy == (p.Segments() > 1)
}

// one is a GetParameter.
func (s *Store) one(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	full, in, err := resource(name)
	if err != nil {
		return nil, err
	}
	if v != "" {
		full += ":" + string(v)
	}
	body := append(jsontext.AppendString([]byte(`{"WithDecryption":true,"Name":`), full), '}')
	root, err := s.base.Client.Call(ctx, awsjson.Request{Action: "GetParameter", Region: in, Body: body, Most: maxOne})
	if err != nil {
		return nil, err
	}
	defer root.Wipe()
	p := root.Get("Parameter")
	if p == nil || p.Kind != strictjson.Object {
		return nil, awsjson.Malformed("Parameter")
	}
	s.base.Told(name, p)
	return decode(p)
}

// many is a GetParameters.
func (s *Store) many(ctx context.Context, names []string) (map[string]batch.Result, error) {
	out := make(map[string]batch.Result, len(names))
	asked := make(map[string]string, len(names)) // by what Parameter Store calls them
	body := []byte(`{"WithDecryption":true,"Names":[`)
	for _, name := range names {
		full, _, err := resource(name)
		if err != nil {
			out[name] = batch.Result{Err: err}
			continue
		}
		if len(asked) > 0 {
			body = append(body, ',')
		}
		asked[full] = name
		body = jsontext.AppendString(body, full)
	}
	if len(asked) == 0 {
		return out, nil
	}
	root, err := s.base.Client.Call(ctx, awsjson.Request{Action: "GetParameters", Body: append(body, "]}"...), Most: maxMany})
	if err != nil {
		return nil, err
	}
	defer root.Wipe()
	found, err := awsjson.Elements(root, "Parameters")
	if err != nil {
		return nil, err
	}
	if n := root.Get("InvalidParameters"); n != nil {
		for i := range n.Elems {
			full, _ := n.Elems[i].Str()
			if name, ok := asked[full]; ok {
				out[name] = batch.Result{Err: secret.ErrNotFound}
			}
		}
	}
	for i := range found {
		full, _ := found[i].Get("Name").Str()
		if name, ok := asked[full]; ok && out[name].Secret == nil {
			s.base.Told(name, &found[i])
			got, err := decode(&found[i])
			out[name] = batch.Result{Secret: got, Err: err}
		}
	}
	return out, nil
}

func decode(n *strictjson.Node) (*secret.Secret, error) {
	s := &secret.Secret{}
	var err error
	if s.Version, err = versionOf(n); err != nil {
		return nil, err
	}
	if s.CreatedAt, err = awsjson.Moment(n, "LastModifiedDate"); err != nil {
		return nil, err
	}
	b, err := awsjson.Take(n, "Value")
	if err != nil {
		return nil, err
	}
	s.Value = secret.NewValue(b)
	return awsjson.Checked(s)
}

func versionOf(n *strictjson.Node) (secret.Version, error) {
	v, ok := n.Get("Version").Int64()
	if !ok || v < 1 {
		return "", awsjson.Malformed("Version")
	}
	return versionName(v), nil
}

// CompareVersions goes by the number.
func (s *Store) CompareVersions(a, b secret.Version) int { return secret.CompareNumbers(a, b) }

// Location implements secret.Located.
func (s *Store) Location(name string) secret.Location { return s.base.Location(name) }

// Close ends the calls that are under way and waits for them.
func (s *Store) Close() error { return s.base.Close() }
