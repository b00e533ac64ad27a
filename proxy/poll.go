package proxy

import (
	"context"
	"errors"
	"log/slog"
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

// maxPollBackoff is how many times longer the pause gets while the upstream fails.
const maxPollBackoff = 32

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

	mu      sync.Mutex
	watched map[cache.Key]bool // whether a round has passed over it: a read is watched a moment before it is cached
	full    bool               // said that there are more
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
				watched: map[cache.Key]bool{},
			}
			byName[m.UpstreamName], all = p, append(all, p)
		}
		m.poller = p
	}
	return all, nil
}

// watch remembers what was just read into the cache. A version by its own name never becomes another.
func (p *poller) watch(k cache.Key) {
	if k.Version != secret.Current && k.Version != secret.Previous {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.watched[k]
	switch {
	case known || len(p.watched) < p.poll.MaxPaths:
		p.watched[k] = false
	case !p.full:
		p.full = true
		p.log.Warn("more paths are cached than are polled; the rest is seen changed at its soft TTL", "upstream", p.upstream, "max_paths", p.poll.MaxPaths)
	}
}

// run polls until ctx is done. While the upstream fails, the pauses get longer.
func (p *poller) run(ctx context.Context) {
	pause := p.poll.Interval
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
			pause = min(2*pause, maxPollBackoff*p.poll.Interval)
			p.log.Warn("polling for versions failed; what is cached lives no longer for it", "upstream", p.upstream, "pause", pause.String(), "error", err.Error())
		}
	}
}

// round asks once for each object that is cached. A failure ends it, but for a denial: that may be one object's.
func (p *poller) round(ctx context.Context) (failed error) {
	for name, held := range p.held() {
		err := p.ask(ctx, name, held)
		if err != nil {
			failed = err
		}
		if err != nil && !errors.Is(err, secret.ErrDenied) {
			return err
		}
	}
	return failed
}

// version is one of a secret, as it is held or told.
type version struct {
	name    secret.Version
	created time.Time
}

func (v version) is(o version) bool { return v.name == o.name && v.created.Equal(o.created) }

// held is what of the watched is still cached, by object. The rest makes room.
func (p *poller) held() map[string]map[cache.Key]version {
	p.mu.Lock()
	defer p.mu.Unlock()
	objects := map[string]map[cache.Key]version{}
	for k, passed := range p.watched {
		name, created, ok := p.cache.Held(k)
		switch {
		case !ok && passed:
			delete(p.watched, k)
			continue
		case !ok:
			p.watched[k] = true
			continue
		}
		if objects[k.Name] == nil {
			objects[k.Name] = map[cache.Key]version{}
		}
		objects[k.Name][k] = version{name, created}
	}
	if len(p.watched) < p.poll.MaxPaths {
		p.full = false
	}
	return objects
}

// ask compares one object with what is held of it.
func (p *poller) ask(ctx context.Context, name string, held map[cache.Key]version) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	versions, err := p.versioner.Versions(ctx, name)
	if err = pollFailure(err); err != nil {
		return err
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
	for k, was := range held {
		if t, ok := told[k.Version]; ok && t.is(was) {
			continue
		}
		// What was read anew while the question was under way may be newer than the answer.
		if now, created, ok := p.cache.Held(k); ok && was.is(version{now, created}) {
			p.log.Info("a secret changed in its upstream", "upstream", p.upstream, "path", k.Path.String())
			p.outbox.forget(name)
			return nil
		}
	}
	return nil
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
