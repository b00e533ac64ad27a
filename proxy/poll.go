package proxy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Poll says how often an upstream that tells of no changes is asked for the versions of what is cached of it. The zero
// Poll asks never.
type Poll struct {
	Interval time.Duration
	MaxPaths int // most cached paths that are watched; what is cached beyond them is seen changed at its soft TTL
}

const (
	// maxPollPause is how long the pauses get while the upstream fails, where the interval is not longer: it is left alone
	// by its guard, and when it is back what changed meanwhile must not wait for long.
	maxPollPause = 30 * time.Second
	// maxSkips is for how many rounds an object is left out whose versions the upstream does not tell us.
	maxSkips = 63
)

// poller watches what is cached of one upstream: it asks for versions, never for values, one object after the other, and
// lets go of what is not current. It makes nothing live longer: an answer that nothing changed has no effect. What it finds
// is not told to other nodes, since each of them watches what it has cached itself.
type poller struct {
	upstream  string
	versioner secret.Versioner // behind the guard
	outbox    *outbox
	cache     *cache.Cache
	poll      Poll
	log       *slog.Logger
	random    func() float64 // in [0,1)

	mu      sync.Mutex
	watched map[cache.Key]*watch
	full    bool // said that there are more
}

// watch is one cached secret that is watched, from its read on to the end of its hard TTL: later it is read anew before
// it is served, and what nobody asks for any more costs the upstream nothing.
type watch struct {
	mount  *mount
	read   cache.Moment
	passed bool // a round has passed over it: a read is watched a moment before it is cached

	skips, skip int // how many rounds it was left out when it was not told of last, and how many of them are left
}

func newPollers(t *mountTable, values *cache.Cache, log *slog.Logger) ([]*poller, error) {
	byName := map[string]*poller{}
	var all []*poller
	for _, m := range t.all {
		if m.Poll.Interval == 0 {
			continue
		}
		if m.Poll.Interval < 0 || m.Poll.MaxPaths < 1 || m.versioner == nil || m.outbox == nil {
			return nil, errors.New("mount " + m.Path.String() + ": polling wants an interval, at least one path, and an upstream that tells versions and takes writes")
		}
		p := byName[m.UpstreamName]
		if p == nil {
			p = &poller{
				upstream: m.UpstreamName, versioner: m.versioner, outbox: m.outbox, cache: values, poll: m.Poll, log: log,
				random: rand.Float64, watched: map[cache.Key]*watch{},
			}
			byName[m.UpstreamName], all = p, append(all, p)
		}
		m.poller = p
	}
	return all, nil
}

// watch remembers what was just read into the cache through m. A version by its own name never becomes another.
func (p *poller) watch(m *mount, k cache.Key) {
	if k.Version != secret.Current && k.Version != secret.Previous {
		return
	}
	now := p.cache.Observe()
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watched[k]
	switch {
	case w != nil:
		w.read, w.passed = now, false
	case len(p.watched) < p.poll.MaxPaths:
		p.watched[k] = &watch{mount: m, read: now}
	case !p.full:
		p.full = true
		p.log.Warn("more paths are cached than are polled; the rest is seen changed at its soft TTL", "upstream", p.upstream, "max_paths", p.poll.MaxPaths)
	}
}

// run polls until ctx is done. While the upstream fails, the pauses get longer. It begins at a random moment of the
// interval, so that nodes that were started together do not ask together.
func (p *poller) run(ctx context.Context) {
	pause := time.Duration(p.random() * float64(p.poll.Interval))
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		switch err := p.round(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = p.poll.Interval
		default:
			pause = max(p.poll.Interval, min(2*pause, maxPollPause))
			p.log.Warn("polling for versions failed; what is cached lives no longer for it", "upstream", p.upstream, "pause", pause.String(), "error", err.Error())
		}
	}
}

// round asks once for each object that is cached. A failure ends it, but for what may be one object's, such as a denial:
// that is left out for a while, longer each time.
func (p *poller) round(ctx context.Context) error {
	var last error
	untold := 0
	for name, all := range p.held() {
		err := p.ask(ctx, name, all)
		if err != nil && !errors.Is(err, secret.ErrDenied) && !errors.Is(err, secret.ErrTooLarge) && !errors.Is(err, secret.ErrUnreadable) {
			return err
		}
		if err != nil {
			untold++
			last = err
		}
		p.leaveOut(all, err != nil)
	}
	if untold > 0 {
		p.log.Warn("the upstream does not tell us versions of what is cached; it is asked less often, and what changed is seen at its soft TTL",
			"upstream", p.upstream, "objects", untold, "error", last.Error())
	}
	return nil
}

// leaveOut decides how many rounds go by until the object is asked for again.
func (p *poller) leaveOut(all []holding, untold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range all {
		switch w := p.watched[h.key]; {
		case w == nil:
		case untold:
			w.skips = min(2*w.skips+1, maxSkips)
			w.skip = w.skips
		default:
			w.skips = 0
		}
	}
}

// holding is one secret of an object, as it is cached.
type holding struct {
	key   cache.Key
	mount *mount
	version
}

// held is what of the watched is still cached, by object. The rest makes room.
func (p *poller) held() map[string][]holding {
	now := p.cache.Observe()
	p.mu.Lock()
	defer p.mu.Unlock()
	objects := map[string][]holding{}
	for k, w := range p.watched {
		v, ok := held(p.cache, k)
		switch {
		case !ok && w.passed, now.Since(w.read) >= w.mount.TTL.Hard:
			delete(p.watched, k)
		case !ok:
			w.passed = true
		case w.skip > 0:
			w.skip--
		default:
			objects[k.Name] = append(objects[k.Name], holding{k, w.mount, v})
		}
	}
	if len(p.watched) < p.poll.MaxPaths {
		p.full = false
	}
	return objects
}

// ask compares one object with what is held of it.
func (p *poller) ask(ctx context.Context, name string, all []holding) error {
	told, err := p.tell(ctx, name)
	if err != nil {
		return err
	}
	for _, h := range all {
		v, ok := told[h.key.Version]
		// What was read anew while the question was under way may be newer than the answer.
		now, still := held(p.cache, h.key)
		switch {
		case ok && v.is(h.version), !still, !now.is(h.version):
		case ok && h.mount.precedes(v, h.version):
			// A replica that lags, or a vault that was put back: a read finds out, and what is held stays until then.
			p.cache.Refresh(h.key, h.name, h.mount.TTL, h.mount.load)
		default:
			p.log.Info("a secret changed in its upstream", "upstream", p.upstream, "path", h.key.Path.String())
			p.outbox.forget(name)
			return nil
		}
	}
	return nil
}

// tell asks what the versions of one object are that can be asked for without their names.
func (p *poller) tell(ctx context.Context, name string) (map[secret.Version]version, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	versions, err := p.versioner.Versions(ctx, name)
	if err = pollFailure(err); err != nil {
		return nil, err
	}
	told := map[secret.Version]version{}
	for _, v := range versions {
		switch v.State {
		case secret.StateCurrent:
			told[secret.Current] = version{v.Version, v.CreatedAt}
		case secret.StatePrevious:
			told[secret.Previous] = version{v.Version, v.CreatedAt}
		}
	}
	return told, nil
}

// pollFailure is nil where the upstream answered, be it that there is no such secret.
func pollFailure(err error) error {
	if err == nil {
		return nil
	}
	err = explained(err)
	if errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrUnavailable) {
		return nil
	}
	return err
}
