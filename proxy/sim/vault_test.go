package sim_test

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// vault is the upstream: it outlives the node, remembers all that was ever in it, and fails on demand.
type vault struct {
	world *world

	mu      sync.Mutex
	objects map[string][]revision // by name, version n at n-1
	pending []secret.Change
	changes uint64
	given   []*secret.Secret // handed out, to see which are still in memory
	reads   []fetch
	calls   int            // all of them, to see that none was made
	changed map[string]int // by path as its mount shows it, changes begun through it
}

// revision is one version of an object, or its deletion, which counts as one too.
type revision struct {
	payload string // "" for a deletion
	at      instant
	facts   uint64 // last fact of the log then
	ours    bool   // made through the node
}

// fetch is one read through a mount.
type fetch struct {
	mount, name string
	version     int // 0: none
	selector    secret.Version
	start       instant
	failed      bool
}

// view is the upstream as one mount sees it: the same objects, but every value says through which mount it went.
type view struct {
	*vault
	plug  *plug
	mount string
}

// Errors of Close never happen.
func (v *view) Close() error { return nil }

func (v *view) UniqueVersions() {}

func (v *view) CompareVersions(a, b secret.Version) int { return number(a) - number(b) }

func number(v secret.Version) int {
	n, err := strconv.Atoi(string(v))
	if err != nil {
		return 0
	}
	return n
}

// valueOf is the value of a version as a mount shows it.
func valueOf(name string, n int, payload, mount string) string {
	return strings.Join([]string{canary, name, strconv.Itoa(n), payload, mount}, "|")
}

// begin is called at the start of every call. The error is for calls that fail before they do anything.
func (v *view) begin(ctx context.Context, f fault) error {
	if v.plug.out() {
		return fmt.Errorf("%w: %w", secret.ErrUnavailable, errKilled)
	}
	if f.kind != fine && f.kind != slow {
		v.world.model.upstreamFailed() // a change too: the guard keeps reads back for it. One that hangs fails from now on
	}
	switch f.kind {
	case fails:
		return fmt.Errorf("%w: connection refused", secret.ErrUnavailable)
	case throttles:
		return fmt.Errorf("%w: 429", secret.ErrThrottled)
	case denies:
		return fmt.Errorf("%w: 403", secret.ErrDenied)
	case misroutes:
		return fmt.Errorf("%w: no handler: %w", secret.ErrUnavailable, secret.ErrNotFound)
	case strange:
		return errors.New("unexpected EOF")
	case panics:
		panic("index out of range with " + valueOf("x", 1, "inhand", v.mount))
	case hangs:
		<-ctx.Done()
		return fmt.Errorf("%w: %w", secret.ErrTimeout, ctx.Err())
	case freezes:
		v.world.clock.freeze(f.d)
		v.world.model.upstreamFailed() // what was read long ago counts as not read
	}
	return nil
}

func (v *view) Read(ctx context.Context, name string, sel secret.Version) (*secret.Secret, error) {
	f := v.world.take(&v.world.vaultFault)
	start := v.world.clock.now()
	v.mu.Lock()
	v.calls++
	s, n := v.pickLocked(name, sel)
	i := len(v.reads)
	v.reads = append(v.reads, fetch{v.mount, name, n, sel, start, false})
	v.mu.Unlock()
	failed := true
	defer func() {
		if failed {
			v.mu.Lock()
			v.reads[i].failed = true
			v.mu.Unlock()
			v.world.model.upstreamFailed()
		}
	}()
	if err := v.begin(ctx, f); err != nil {
		return nil, err
	}
	if f.kind == slow {
		select {
		case <-time.After(f.d):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", secret.ErrTimeout, ctx.Err())
		}
	}
	if f.kind == loses {
		return nil, fmt.Errorf("%w: connection reset", secret.ErrUnavailable)
	}
	failed = false
	if s == nil {
		return nil, secret.ErrNotFound
	}
	v.mu.Lock()
	v.given = append(v.given, s)
	v.mu.Unlock()
	return s, nil
}

// pickLocked is what the upstream holds now, nil where there is no such version.
func (v *view) pickLocked(name string, sel secret.Version) (*secret.Secret, int) {
	all := v.objects[name]
	n := len(all)
	switch sel {
	case secret.Current:
	case secret.Previous:
		n--
	default:
		n = number(sel)
	}
	if n < 1 || n > len(all) || all[n-1].payload == "" || all[len(all)-1].payload == "" {
		return nil, 0
	}
	for _, later := range all[n:] {
		if later.payload == "" {
			return nil, 0 // deleted since
		}
	}
	s := &secret.Secret{Version: secret.Version(strconv.Itoa(n)), CreatedAt: time.Unix(int64(n), 0).UTC()}
	value := func() secret.Value { return secret.NewValue([]byte(valueOf(name, n, all[n-1].payload, v.mount))) }
	if !v.world.mounts[v.mount].fields {
		s.Value = value()
		return s, n
	}
	for _, name := range fieldNames {
		s.Fields = append(s.Fields, secret.Field{Name: name, Value: value()})
	}
	return s, n
}

// commit makes a new version, and says whether there was one before. It is how everybody changes the vault, the node and
// others. If it is given, expected must be current; else it returns 0.
func (v *vault) commit(name, payload string, ours bool, expected int) (n int, was bool) {
	last := v.world.lastFact()
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.objects[name]); expected > 0 && expected != n {
		return 0, false
	}
	was = v.existsLocked(name)
	v.objects[name] = append(v.objects[name], revision{payload, v.world.clock.now(), last, ours})
	return len(v.objects[name]), was
}

// history copies the revisions of an object.
func (v *vault) history(name string) []revision {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.objects[name][:len(v.objects[name]):len(v.objects[name])]
}

// owed counts the changes that are not announced.
func (v *vault) owed() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.pending)
}

// asked counts all calls so far.
func (v *vault) asked() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// fetched returns when the latest read through the mount began that brought this version.
func (v *vault) fetched(mount, name string, version int, end instant) (start instant, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.reads) - 1; i >= 0; i-- {
		r := &v.reads[i]
		if r.mount == mount && r.name == name && r.version == version && !r.failed && r.start.before(end) {
			return r.start, true
		}
	}
	return instant{}, false
}

// readsSince counts the reads of the object through the mount from a moment on.
func (v *vault) readsSince(mount, name string, from instant) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.reads {
		if r.mount == mount && r.name == name && from.before(r.start) {
			n++
		}
	}
	return n
}

func (v *vault) existsLocked(name string) bool {
	all := v.objects[name]
	return len(all) > 0 && all[len(all)-1].payload != ""
}

// alive counts the values, and their bytes, that were handed out and have not been wiped.
func (v *vault) alive() (n, size int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.given[:0]
	for _, s := range v.given {
		if held := heldBytes(s); held > 0 {
			n, size, kept = n+1, size+held, append(kept, s)
		}
	}
	v.given = kept
	return n, size
}

// heldBytes counts those of a secret that are not wiped, by whole values.
func heldBytes(s *secret.Secret) (n int) {
	values := []secret.Value{s.Value}
	for _, f := range s.Fields {
		values = append(values, f.Value)
	}
	for _, v := range values {
		if b := v.Reveal(); len(b) > 0 && b[0] != 0 {
			n += len(b)
		}
	}
	return n
}

// change runs one change through the node: do commits it.
func (v *view) change(ctx context.Context, name string, do func() error) error {
	f := v.world.take(&v.world.vaultFault)
	path := v.mount + strings.TrimPrefix(name, v.world.mounts[v.mount].at)
	v.mu.Lock()
	v.calls++
	v.changed[path]++
	begun := v.changed[path]
	v.mu.Unlock()
	if n := v.world.book.intentsOf(path); n < begun && !v.plug.out() {
		v.world.violated("I1", "change %d of %s begins, the log holds %d intents of it", begun, path, n)
	}
	last, err := v.plug.use()
	if err == nil {
		err = v.begin(ctx, f)
	}
	if err != nil {
		return err
	}
	if f.kind == slow {
		select {
		case <-time.After(f.d):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", secret.ErrTimeout, ctx.Err())
		}
		if v.plug.out() {
			return errKilled
		}
	}
	if err := do(); err != nil {
		return err
	}
	v.mu.Lock()
	v.changes++
	v.pending = append(v.pending, secret.Change{ID: v.changes, Name: name})
	v.mu.Unlock()
	if f.kind == loses || last {
		return fmt.Errorf("%w: connection reset", secret.ErrUnavailable)
	}
	return nil
}

func (v *view) Write(ctx context.Context, name string, w secret.Write) (version secret.Version, created bool, err error) {
	payload := string(w.Secret.Value.Reveal())
	if parts := strings.Split(payload, "|"); len(parts) == 5 {
		payload = parts[3] // a rollback writes what was read
	} else {
		payload = strings.TrimPrefix(payload, canary)
	}
	err = v.change(ctx, name, func() error {
		n, was := v.commit(name, payload, true, number(w.IfVersion))
		if n == 0 {
			return fmt.Errorf("%w: another version is current", secret.ErrConflict)
		}
		version, created = secret.Version(strconv.Itoa(n)), !was
		return nil
	})
	if err != nil {
		return "", false, err
	}
	return version, created, nil
}

func (v *view) Delete(ctx context.Context, name string) error {
	return v.change(ctx, name, func() error {
		v.commit(name, "", true, 0)
		return nil
	})
}

func (v *view) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	if err := v.begin(ctx, v.world.take(&v.world.vaultFault)); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	var out []secret.Item
	for name := range v.objects {
		if (name == prefix || strings.HasPrefix(name, prefix+"/")) && name > after && v.existsLocked(name) {
			out = append(out, secret.Item{Name: name, Version: secret.Version(strconv.Itoa(len(v.objects[name])))})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out[:min(limit, len(out))], nil
}

func (v *view) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	if err := v.begin(ctx, v.world.take(&v.world.vaultFault)); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	if !v.existsLocked(name) {
		return nil, secret.ErrNotFound
	}
	return []secret.VersionInfo{{Version: secret.Version(strconv.Itoa(len(v.objects[name]))), State: secret.StateCurrent}}, nil
}

func (v *view) Pending(context.Context) ([]secret.Change, error) {
	if v.plug.out() {
		return nil, errKilled
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]secret.Change(nil), v.pending...), nil
}

func (v *view) Settle(_ context.Context, ids ...uint64) error {
	if last, err := v.plug.use(); err != nil || last {
		return errKilled
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		for i, c := range v.pending {
			if c.ID == id {
				v.pending = append(v.pending[:i], v.pending[i+1:]...)
				break
			}
		}
	}
	return nil
}
