package upstreamtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

// defectEnv names the defect that TestConformance gives its upstream; TestDefectsAreFound sets it.
const defectEnv = "KEYHOLE_TEST_DEFECT"

// remote is an upstream in memory that can fail like a remote one. Each of its defects breaks one law of the contract.
type remote struct {
	defect string

	mu      sync.Mutex
	fault   *upstreamtest.Fault
	secrets map[string][]*secret.Secret
	deleted map[string]int // versions that are gone, the first ones of each name
	pending []secret.Change
	changes uint64
}

func (r *remote) has(defect string) bool { return r.defect == defect }

var faults = map[upstreamtest.Fault]error{
	upstreamtest.Throttled: secret.ErrThrottled, upstreamtest.ServerError: secret.ErrUnavailable, upstreamtest.Denied: secret.ErrDenied,
	upstreamtest.MissingMount: secret.ErrUnavailable, upstreamtest.Malformed: errors.New("bad answer"), upstreamtest.Oversized: secret.ErrTooLarge,
	upstreamtest.Gateway: secret.ErrUnavailable, upstreamtest.LoginRefused: secret.ErrUnavailable,
}

func (r *remote) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	if err := r.contextError(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil && (*r.fault != upstreamtest.LoginExpired || r.has("does not log in again")) {
		return nil, r.fail(ctx, *r.fault)
	}
	versions := r.secrets[name]
	n := len(versions)
	switch v {
	case secret.Current:
	case secret.Previous:
		n--
	default:
		i, err := strconv.Atoi(string(v))
		if err != nil || strconv.Itoa(i) != string(v) {
			return nil, secret.ErrNotFound
		}
		n = i
	}
	if r.has("previous is current") && v == secret.Previous {
		n++
	}
	if r.has("deletes the current version only") && v != secret.Current && n > 0 && r.deleted[name] > 0 {
		return versions[n-1].Clone(), nil
	}
	if n <= r.deleted[name] || n < 1 || n > len(versions) {
		if r.has("missing is empty") {
			return &secret.Secret{Version: "1"}, nil
		}
		return nil, secret.ErrNotFound
	}
	s := versions[n-1]
	switch {
	case r.has("shares its bytes"):
		return s, nil
	case r.has("cuts long values") && s.Size() > 100_000:
		c := s.Clone()
		c.Value = secret.NewValue(c.Value.Reveal()[:100_000])
		return c, nil
	case r.has("forgets metadata"):
		c := s.Clone()
		c.Metadata = nil
		return c, nil
	}
	return s.Clone(), nil
}

func (r *remote) contextError(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil || r.has("ignores the context"):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", secret.ErrTimeout, err)
	default:
		return err
	}
}

func (r *remote) fail(ctx context.Context, f upstreamtest.Fault) error {
	switch {
	case f == upstreamtest.Silent && r.has("takes a caller who leaves for a silent vault"):
		<-ctx.Done()
		return secret.ErrTimeout
	case f == upstreamtest.Silent:
		<-ctx.Done()
		return r.contextError(ctx)
	case f == upstreamtest.ServerError && r.has("shows the body"):
		return fmt.Errorf("%w: body %s", secret.ErrUnavailable, upstreamtest.Canary)
	case f == upstreamtest.MissingMount && r.has("takes a missing mount for a missing secret"):
		return fmt.Errorf("%w: %w", secret.ErrUnavailable, secret.ErrNotFound)
	case f == upstreamtest.LoginExpired:
		return secret.ErrUnavailable
	case f == upstreamtest.LoginRefused && r.has("takes a refused login for a denial"):
		return secret.ErrDenied
	case f == upstreamtest.Gateway && r.has("believes a gateway"):
		return secret.ErrNotFound
	case f == upstreamtest.Throttled && r.has("throttled is unavailable"):
		return secret.ErrUnavailable
	}
	return faults[f]
}

func (r *remote) Close() error { return nil }

func (r *remote) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	if err := r.contextError(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.secrets))
	if r.has("lists by segments") {
		slices.SortFunc(names, func(a, b string) int {
			return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		})
	}
	var items []secret.Item
	for _, name := range names {
		below := prefix == "" || name == prefix || strings.HasPrefix(name, prefix+"/")
		if r.has("lists by characters") {
			below = strings.HasPrefix(name, prefix)
		}
		if len(r.secrets[name]) == r.deleted[name] && !r.has("lists the deleted") {
			continue
		}
		if below && (name > after || r.has("lists after again") && name == after) && (len(items) < limit || r.has("lists beyond its limit")) {
			items = append(items, secret.Item{Name: name, Version: secret.Version(fmt.Sprint(len(r.secrets[name])))})
		}
	}
	return items, nil
}

func (r *remote) put(name string, s *secret.Secret) secret.Version {
	s = s.Clone()
	s.Version = secret.Version(fmt.Sprint(len(r.secrets[name]) + 1))
	s.CreatedAt = time.Now().UTC()
	if r.secrets == nil {
		r.secrets = map[string][]*secret.Secret{}
	}
	r.secrets[name] = append(r.secrets[name], s)
	r.changes++
	r.pending = append(r.pending, secret.Change{ID: r.changes, Name: name})
	return s.Version
}

// writing is a remote that takes writes.
type writing struct{ *remote }

func (w writing) Write(ctx context.Context, name string, what secret.Write) (secret.Version, bool, error) {
	if err := w.contextError(ctx); err != nil {
		return "", false, err
	}
	if err := what.Secret.Check(); err != nil {
		return "", false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := w.secrets[name]
	current := len(versions)
	if current == w.deleted[name] {
		current = 0
	}
	if what.IfVersion != "" && string(what.IfVersion) != fmt.Sprint(current) && !w.has("writes despite a conflict") {
		if w.has("announces a conflict") {
			w.changes++
			w.pending = append(w.pending, secret.Change{ID: w.changes, Name: name})
		}
		return "", false, secret.ErrConflict
	}
	s := what.Secret.Clone()
	if s.Metadata == nil && current > 0 && !w.has("clears metadata") {
		s.Metadata = versions[len(versions)-1].Metadata
	}
	v := w.put(name, s)
	if w.has("wipes what it is given") {
		what.Secret.Wipe()
	}
	return v, current == 0 || w.has("always creates"), nil
}

func (w writing) Delete(ctx context.Context, name string) error {
	if err := w.contextError(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	exists := len(w.secrets[name]) > w.deleted[name]
	switch {
	case !exists && w.has("cannot delete twice"):
		return secret.ErrNotFound
	case exists && !w.has("deletes in silence"), w.has("announces what it did not delete"):
		w.changes++
		w.pending = append(w.pending, secret.Change{ID: w.changes, Name: name})
	}
	for n := range w.secrets {
		if n == name || w.has("deletes what is below") && strings.HasPrefix(n, name+"/") {
			if w.deleted == nil {
				w.deleted = map[string]int{}
			}
			w.deleted[n] = len(w.secrets[n])
		}
	}
	return nil
}

// Versions is on the writing remote only, so that the suite sees one upstream with and one without.
func (w writing) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	if err := w.contextError(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all, last := w.secrets[name], len(w.secrets[name])
	if last == w.deleted[name] && !w.has("has versions of nothing") {
		return nil, secret.ErrNotFound
	}
	var out []secret.VersionInfo
	for n := last; n > w.deleted[name]; n-- {
		v := secret.VersionInfo{Version: all[n-1].Version, CreatedAt: all[n-1].CreatedAt, State: secret.StateOld}
		switch {
		case n == last:
			v.State = secret.StateCurrent
		case n == last-1 && !w.has("knows no previous version"):
			v.State = secret.StatePrevious
		}
		out = append(out, v)
	}
	if w.has("tells the oldest version first") {
		slices.Reverse(out)
	}
	return out, nil
}

func (w writing) Pending(ctx context.Context) ([]secret.Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pending), ctx.Err()
}

func (w writing) Settle(_ context.Context, ids ...uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.DeleteFunc(w.pending, func(c secret.Change) bool {
		return slices.Contains(ids, c.ID) || w.has("settles everything")
	})
	return nil
}

func TestConformance(t *testing.T) {
	defect := os.Getenv(defectEnv)
	all := upstreamtest.Harness{Values: true, Binary: true, Fields: true, Metadata: true, KeepsVersions: true, Lists: true}
	t.Run("Remote", func(t *testing.T) {
		var r *remote
		h := all
		h.Open = func(*testing.T) secret.Upstream { r = &remote{defect: defect}; return r }
		h.Put = func(_ *testing.T, name string, s *secret.Secret) secret.Version {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.put(name, s)
		}
		h.Fault = func(t *testing.T, f upstreamtest.Fault) {
			r.fault = &f
			t.Cleanup(func() { r.fault = nil })
		}
		upstreamtest.Run(t, h)
	})
	t.Run("Writing", func(t *testing.T) {
		h := all
		h.Writes, h.Deletes, h.Histories = true, true, true
		h.Open = func(*testing.T) secret.Upstream { return writing{&remote{defect: defect}} }
		upstreamtest.Run(t, h)
	})
}

// A suite is worth what it finds.
func TestDefectsAreFound(t *testing.T) {
	for _, defect := range []string{
		"previous is current", "missing is empty", "shares its bytes", "cuts long values", "forgets metadata", "ignores the context",
		"shows the body", "takes a missing mount for a missing secret", "throttled is unavailable", "lists by segments", "lists by characters",
		"lists after again", "lists beyond its limit", "writes despite a conflict", "announces a conflict", "clears metadata",
		"wipes what it is given", "always creates", "settles everything", "deletes the current version only", "lists the deleted",
		"cannot delete twice", "deletes in silence", "announces what it did not delete", "deletes what is below",
		"does not log in again", "takes a refused login for a denial", "believes a gateway", "takes a caller who leaves for a silent vault",
		"has versions of nothing", "knows no previous version", "tells the oldest version first",
	} {
		t.Run(defect, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestConformance$")
			cmd.Env = append(os.Environ(), defectEnv+"="+defect)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), "--- FAIL: TestConformance") {
				t.Errorf("the suite accepts an upstream that %s (%v)\n%s", defect, err, out)
			}
		})
	}
}
