package proxy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ReadRequest asks for one secret.
type ReadRequest struct {
	Path    secret.Path
	Version secret.Version // Current, Previous or a version's name; "" is Current
	Field   string         // one field of a secret of fields; "" for the whole secret
	// Unchanged, where not nil, says whether the caller holds what the entity tag names already; then nothing is sent.
	Unchanged func(etag string) bool
	// Fresh asks the upstream, whatever is cached. Where it fails there is no older value but an error.
	Fresh bool
	// Is, where it is not "", is the name that the version must have in the upstream; one with another is not found.
	Is secret.Version
	// At is where the caller takes the secret to be. What an upstream is known to have elsewhere is not found.
	At secret.Location
}

// Answer is a secret on its way out. Its record has been acknowledged. Its bytes are shared with the cache: read-only,
// and only until Release, which must be called exactly once.
type Answer struct {
	Path      secret.Path
	Value     secret.Value
	Fields    []secret.Field // non-nil: the secret is a map, and Value is empty
	Version   secret.Version
	CreatedAt time.Time
	Metadata  map[string]string
	Binary    bool   // the upstream keeps the whole Value as bytes, though it may be text
	State     string // hit | miss | stale | negative
	Age       time.Duration
	Decision  string
	ETag      string
	Unchanged bool // the caller holds it already: send no value

	entry   cache.Handle
	fetched time.Time
	picked  bool         // Value is one field of the entry
	copied  secret.Value // Value, where it is a copy and not the cache's
	loan    loan
}

// Release gives the bytes back.
func (a *Answer) Release() {
	a.entry.Release()
	a.copied.Wipe()
	a.loan.end()
}

// Read decides, fetches, records, and only then releases one secret.
func (p *Proxy) Read(ctx context.Context, c *Call, r ReadRequest) (Answer, error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	t.rec.Resource.Path = r.Path.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Answer{}, err
	}
	return p.read(ctx, t, r)
}

// ReadName is Read with a name relative to the base of the token.
func (p *Proxy) ReadName(ctx context.Context, c *Call, name secret.Path) (Answer, error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	t.rec.Resource.Path = name.String()
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return Answer{}, err
	}
	if err := p.current(ctx, t, Bounded, false); err != nil {
		return Answer{}, err
	}
	if pr.Base.IsZero() {
		return Answer{}, p.refuse(ctx, t, fail(api.InvalidRequest, "the token has no base to resolve names against; read the full path under /v1/secrets/"))
	}
	path, err := pr.Base.Join(name.String())
	if err != nil {
		return Answer{}, p.refuse(ctx, t, fail(api.InvalidPath, "base and name together are no valid path"))
	}
	return p.read(ctx, t, ReadRequest{Path: path})
}

func (p *Proxy) read(ctx context.Context, t *transaction, r ReadRequest) (Answer, error) {
	if r.Version == "" {
		r.Version = secret.Current
	}
	a, err := p.answer(ctx, t, r)
	if err != nil {
		return Answer{}, err
	}
	return p.settle(ctx, t, r, a)
}

// answer is one decision with its fetch and its record.
func (p *Proxy) answer(ctx context.Context, t *transaction, r ReadRequest) (Answer, error) {
	m, err := p.decide(ctx, t, r.Path, r.Version)
	if err != nil {
		return Answer{}, err
	}
	a, err := p.fetch(ctx, t, m, r)
	if err == nil && !p.lendLarge(&a) {
		a.Release()
		err = overloaded()
	}
	if err != nil {
		e := because(err)
		t.rec.Cache.State, t.rec.Cache.Age = e.Cache, e.Age
		return Answer{}, p.refuse(ctx, t, e)
	}
	a.own()
	p.describe(t, &a)
	if err := p.record(ctx, t); err != nil {
		a.Release()
		return Answer{}, err
	}
	return a, nil
}

// fetch gets the secret from the cache or the upstream. Nothing of it may leave before the record is acknowledged.
func (p *Proxy) fetch(ctx context.Context, t *transaction, m *mount, r ReadRequest) (Answer, error) {
	key, err := m.key(r.Path, r.Version)
	if err != nil {
		return Answer{}, err
	}
	if m.elsewhere(key.Name, r.At) {
		return Answer{}, secret.ErrNotFound
	}
	ttl := m.ttl(key, t.restricted())
	if !p.room(t) && (r.Fresh || !p.cache.Has(key, ttl)) {
		return Answer{}, overloaded()
	}
	var entry cache.Handle
	if r.Fresh {
		entry, err = p.cache.Fresh(t.bounded(ctx), key, ttl, m.load)
	} else {
		entry, err = p.cache.Get(t.bounded(ctx), key, ttl, m.load)
	}
	if err != nil {
		return Answer{}, err
	}
	s := entry.Secret()
	switch {
	case m.elsewhere(key.Name, r.At): // which may be known by what the upstream answered
		entry.Release()
		return Answer{}, secret.ErrNotFound
	case r.Is != "" && s.Version != r.Is:
		hit := entry.State() != cache.Miss
		entry.Release()
		if !hit || r.Fresh {
			return Answer{}, secret.ErrNotFound
		}
		r.Fresh = true // the version may be newer than what is cached
		return p.fetch(ctx, t, m, r)
	}
	a := Answer{
		Path: r.Path, Value: s.Value, Fields: s.Fields, Version: s.Version, CreatedAt: s.CreatedAt, Metadata: s.Metadata, Binary: s.Binary,
		State: string(entry.State()), Age: entry.Age(), ETag: m.etag(s), entry: entry, fetched: entry.FetchedAt(),
	}
	if err := m.pick(&a, r); err != nil {
		a.Release()
		return Answer{}, err
	}
	a.Unchanged = r.Unchanged != nil && r.Unchanged(a.ETag)
	return a, nil
}

// key names in the cache what holds the secret: all fields of one object share it, and so one read. It fails with secret.ErrNotFound where no mount shows one at the path.
func (m *mount) key(path secret.Path, v secret.Version) (cache.Key, error) {
	if m == nil {
		return cache.Key{}, secret.ErrNotFound
	}
	name, at, err := m.object(path)
	if err != nil {
		return cache.Key{}, secret.ErrNotFound
	}
	return cache.Key{Mount: m.Path.String(), Name: name, Path: at, Fields: m.Layout == Fields, Version: v}, nil
}

// read asks the upstream. In the layout Fields the object has fields, its own or those of the JSON that it holds.
func (m *mount) read(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	s, err := m.reader.Read(ctx, k.Name, k.Version)
	if err != nil {
		return nil, explained(err)
	}
	if k.Fields {
		if err := spread(s); err != nil {
			s.Wipe()
			return nil, err
		}
	}
	return s, nil
}

// explained makes an upstream's error one that the contract names: what it does not explain is a failure of it, and so
// is a secret too large to serve. also are those that the call at hand may end with besides.
func explained(err error, also ...error) error {
	for _, known := range append([]error{
		secret.ErrNotFound, secret.ErrDenied, secret.ErrThrottled, secret.ErrUnavailable, secret.ErrTimeout,
		context.Canceled, context.DeadlineExceeded,
	}, also...) {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", secret.ErrUnavailable, err)
}

// etag is opaque to callers. Where the upstream may give a version's name again, the time tells the two apart.
func (m *mount) etag(s *secret.Secret) string {
	if m.unique {
		return `"` + string(s.Version) + `"`
	}
	return `"` + string(s.Version) + "-" + strconv.FormatInt(s.CreatedAt.UnixMilli(), 10) + `"`
}

func (p *Proxy) describe(t *transaction, a *Answer) {
	a.Decision = t.rec.ID
	t.rec.Resource.Version = string(a.Version)
	t.rec.Cache.State, t.rec.Cache.Age = a.State, a.Age
	t.rec.Result.Status = 200
	if a.Unchanged {
		t.rec.Result.Status = 304
		return
	}
	t.rec.Result.Bytes = a.size()
	t.rec.Result.ValueMAC = audit.MAC(a.entry.Tag())
	if a.picked {
		t.rec.Result.ValueMAC = p.audit.SecretMAC(&secret.Secret{Value: a.Value})
	}
}
