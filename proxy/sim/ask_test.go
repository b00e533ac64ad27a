package sim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// answer is what a caller got, and when.
type answer struct {
	what       string
	begin, end instant
	who        *caller
	action     policy.Action
	path       string
	mount      *mountAt // nil where none covers the path
	name       string   // of the object in the upstream
	selector   secret.Version
	lost       bool // the process died before it answered
	hurried    bool // the caller does not wait for long, and may be served as if the upstream failed

	ok       bool
	code     api.Code
	decision string
	value    string // of a read
	version  secret.Version
	state    string
	age      time.Duration
}

func (a *answer) String() string {
	s := fmt.Sprintf("%s %s by %s: ", a.what, a.path, a.who.name)
	switch {
	case a.lost:
		return s + "killed"
	case !a.ok:
		return s + string(a.code)
	case a.value != "":
		return s + fmt.Sprintf("%s v%s age %v", a.state, a.version, a.age)
	}
	return s + "ok v" + string(a.version)
}

// place finds the mount of a path and the object's name behind it.
func (w *world) place(path string) (*mountAt, string) {
	first, rest, _ := strings.Cut(path, "/")
	m, ok := w.mounts[first]
	if !ok {
		return nil, ""
	}
	if m.fields {
		rest = rest[:max(strings.LastIndexByte(rest, '/'), 0)]
	}
	return &m, m.at + "/" + rest
}

// ask begins a call and ends it with what do says. Whatever do returns is checked against the laws of all answers.
func (w *world) ask(what string, who *caller, action policy.Action, path string, do func(a *answer, c *proxy.Call) error) *answer {
	a := &answer{what: what, who: who, action: action, path: path, selector: secret.Current}
	a.mount, a.name = w.place(path)
	plug := w.life.plug
	calls := w.vault.asked()
	a.begin = w.clock.now()
	err := w.guarded(func() error { return do(a, &proxy.Call{Token: who.token, Surface: "sim", SourceIP: "192.0.2.1"}) })
	a.end = w.clock.now()
	a.ok, a.lost = err == nil, plug.out()
	if e := (*proxy.Error)(nil); errors.As(err, &e) {
		a.code, a.decision = e.Code, e.Decision
		w.scanText("an error", fmt.Sprintf("%v %s", e, e.Message))
	} else if err != nil {
		a.code = api.Internal
		w.scanText("an error", err.Error())
	}
	w.mu.Lock()
	w.trace = append(w.trace, "    "+a.String())
	w.mu.Unlock()
	if !a.lost {
		w.check(a)
		if a.denied() && w.clock.elapsed(a.begin, a.end) == 0 && !w.crowded.Load() && w.vault.asked() != calls {
			w.violated("I9", "%s, after the upstream was asked", a)
		}
	}
	return a
}

// denied reports whether the decision went against the caller.
func (a *answer) denied() bool {
	return a.code == api.ScopeDenied || a.code == api.PolicyDenied || a.code == api.Revoked || a.code == api.TokenRevoked
}

var errPanicked = errors.New("panicked")

// guarded is what a surface does about a panic: the request fails.
func (w *world) guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return f()
}

func (w *world) read(ctx context.Context, who *caller, path string, sel secret.Version) *answer {
	return w.ask("read", who, policy.Read, path, func(a *answer, c *proxy.Call) error {
		a.selector = sel
		_, a.hurried = ctx.Deadline()
		got, err := w.life.Read(ctx, c, proxy.ReadRequest{Path: mustPath(path), Version: sel})
		if err != nil {
			return err
		}
		a.take(&got)
		return nil
	})
}

// take copies what was released.
func (a *answer) take(got *proxy.Answer) {
	a.value, a.version, a.state, a.age, a.decision = string(got.Value.Reveal()), got.Version, got.State, got.Age, got.Decision
	got.Release()
}

// batch reads several paths with one call; each is an answer.
func (w *world) batch(who *caller, paths []string) {
	var parsed []secret.Path
	for _, p := range paths {
		parsed = append(parsed, mustPath(p))
	}
	plug := w.life.plug
	begin := w.clock.now()
	var items []proxy.BatchItem
	err := w.guarded(func() (err error) {
		items, err = w.life.ReadBatch(context.Background(), &proxy.Call{Token: who.token, Surface: "sim", SourceIP: "192.0.2.1"}, parsed)
		return err
	})
	end := w.clock.now()
	if err != nil {
		w.scanText("an error", err.Error())
		return
	}
	for i := range items {
		a := &answer{what: "batch", who: who, action: policy.Read, path: paths[i], selector: secret.Current, begin: begin, end: end, lost: plug.out()}
		a.mount, a.name = w.place(paths[i])
		if e := (*proxy.Error)(nil); errors.As(items[i].Err, &e) {
			a.code, a.decision = e.Code, e.Decision
			w.scanText("an error", e.Error())
		} else {
			a.ok = true
			a.take(&items[i].Answer)
		}
		w.mu.Lock()
		w.trace = append(w.trace, "    "+a.String())
		w.mu.Unlock()
		if !a.lost {
			w.check(a)
		}
	}
}

func (w *world) write(who *caller, path, payload string) {
	a := w.ask("write", who, policy.WriteTo, path, func(a *answer, c *proxy.Call) error {
		value := secret.NewValue([]byte(canary + payload))
		got, err := w.life.Write(context.Background(), c, mustPath(path), secret.Write{Secret: &secret.Secret{Value: value}})
		a.version, a.decision = got.Version, got.Decision
		return err
	})
	w.changed(a, func(n int, r *revision) bool { return r.payload == payload })
}

func (w *world) remove(who *caller, path string) {
	a := w.ask("delete", who, policy.WriteTo, path, func(a *answer, c *proxy.Call) (err error) {
		a.decision, err = w.life.Delete(context.Background(), c, mustPath(path))
		return err
	})
	w.changed(a, func(_ int, r *revision) bool { return r.payload == "" && r.ours && a.begin.before(r.at) })
}

func (w *world) rollback(who *caller, path string, to secret.Version) {
	a := w.ask("rollback to "+string(to), who, policy.WriteTo, path, func(a *answer, c *proxy.Call) error {
		got, err := w.life.Rollback(context.Background(), c, mustPath(path), to)
		a.version, a.decision = got.Version, got.Decision
		return err
	})
	w.changed(a, func(n int, _ *revision) bool { return a.ok && n == number(a.version) })
}

// changed finds the revision that a change made, if it made one, and tells the model.
func (w *world) changed(a *answer, is func(n int, r *revision) bool) {
	if a.lost || a.mount == nil {
		return
	}
	for i, r := range w.vault.history(a.name) {
		if is(i+1, &r) {
			w.model.told(a.name, i+1)
			if a.ok {
				w.checkAnnounced(a.name, &r)
			}
			return
		}
	}
	if a.ok {
		w.violated("I1", "%s was answered, and the vault knows nothing of it", a)
	}
}

func (w *world) list(who *caller, prefix string) {
	w.ask("list", who, policy.List, prefix, func(a *answer, c *proxy.Call) error {
		got, err := w.life.List(context.Background(), c, proxy.ListRequest{Prefix: mustPath(prefix), Limit: 10})
		if err != nil {
			return err
		}
		a.decision = got.Decision
		end := w.clock.now()
		for _, it := range got.Items {
			path := it.Path.String()
			if !who.parsed.Allows(policy.List, it.Path) || !w.verdicts.between(a.begin, end, who.name, path) {
				w.violated("I9", "a list shows %s to %s, who may not know of it", path, who.name)
			}
		}
		return nil
	})
}

func (w *world) versions(who *caller, path string) {
	w.ask("versions", who, policy.List, path, func(a *answer, c *proxy.Call) error {
		got, err := w.life.Versions(context.Background(), c, mustPath(path))
		a.decision = got.Decision
		return err
	})
}

func (w *world) report(who *caller, path string, v secret.Version) {
	w.ask("reject "+string(v), who, policy.Read, path, func(a *answer, c *proxy.Call) (err error) {
		a.decision, err = w.life.Report(context.Background(), c, mustPath(path), v, proxy.Rejected)
		return err
	})
}
