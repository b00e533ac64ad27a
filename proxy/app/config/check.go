package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// checker finds combinations of good values that make no configuration.
type checker struct {
	*decoder
	c     *Config
	wrong Errors // what the decoder found
}

func (k *checker) check() {
	k.listen()
	k.identity()
	k.upstreams()
	k.mounts()
	for i, l := range k.c.Labels {
		k.classification(root("labels").at(i).key("set"), l.Set)
	}
	k.hooks()
	k.policy()
	k.audit()
	k.files()
	if l2 := k.c.Cache.SecondLevel; l2.Enabled && l2.Key.IsZero() {
		p := root("cache").key("second_level")
		k.conflict(p.key("key"), "is needed when enabled is true; want a reference such as file:keys/l2.key", "", p)
	}
}

// conflict reports a problem with p that shows when the values at reads are taken together. Where the decoder has found
// one of them missing or wrong, the conflict may be nothing but that.
func (k *checker) conflict(p *path, msg, suggestion string, reads ...*path) {
	for _, w := range k.wrong {
		if related(w.Key, p.String()) || slices.ContainsFunc(reads, func(r *path) bool { return related(w.Key, r.String()) }) {
			return
		}
	}
	k.fail(p, msg, suggestion)
}

// related reports whether one of two keys is the other or holds it.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, ok := strings.CutPrefix(b, a)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// broken reports whether the decoder found something wrong with the whole of a key.
func (k *checker) broken(p *path) bool {
	return slices.ContainsFunc(k.wrong, func(w *Error) bool { return w.Key == p.String() })
}

func root(name string) *path { return (*path)(nil).key(name) }

func (k *checker) upstreams() {
	for name, u := range k.c.Upstreams {
		p := root("upstreams").key(name)
		if !isName(name) {
			k.failName(p, "want a name such as web-1 (letters, digits, _ . -; at most 64)", "")
		}
		if u.Vault != nil {
			k.vault(p, u.Vault)
		}
		if u.Keyhole != nil {
			k.keyhole(p, u.Keyhole)
		}
	}
}

const minPoll = time.Second

func (k *checker) vault(p *path, v *Vault) {
	switch tls := p.key("tls"); {
	case v.TLS.Cert.IsZero() && !v.TLS.Key.IsZero():
		k.conflict(tls.key("cert"), "is needed with key", "", tls)
	case !v.TLS.Cert.IsZero() && v.TLS.Key.IsZero():
		k.conflict(tls.key("key"), "is needed with cert", "", tls)
	}
	mount := func(p *path, s string) {
		if _, err := secret.ParsePath(s); s != "" && err != nil {
			k.conflict(p, "want a path such as secret or kv/apps, without a slash at the end, not "+quote(s), "")
		}
	}
	mount(p.key("kv").key("mount"), v.KV.Mount)
	k.poll(p, v)
	auth := p.key("auth").key("mount")
	switch a := v.Auth; {
	case a.AppRole != nil:
		mount(auth, a.AppRole.Mount)
	case a.JWT != nil:
		mount(auth, a.JWT.Mount)
	case a.Kubernetes != nil:
		mount(auth, a.Kubernetes.Mount)
	}
}

// poll keeps polling possible, and at least half of what may be asked of the vault for those who wait for a secret.
func (k *checker) poll(p *path, v *Vault) {
	interval, limits := p.key("poll").key("interval"), p.key("limits")
	if v.Poll.Interval == 0 {
		return
	}
	atLeast := minPoll
	if v.Limits.Rate > 0 {
		atLeast = max(atLeast, (time.Duration(2*v.Poll.MaxPaths) * time.Second / time.Duration(v.Limits.Rate)).Truncate(time.Millisecond))
	}
	switch {
	case v.Poll.Interval < minPoll:
		k.conflict(interval, "is shorter than 1s; 0 is never", "")
	case v.KV.Version == 1:
		k.conflict(interval, "wants version 2 of the engine: version 1 tells no versions", "", p.key("kv"))
	case v.Poll.Interval < atLeast:
		k.conflict(interval, fmt.Sprintf("would take more than half of limits.rate, %d a second, for %d paths (max_paths); want %v or more", v.Limits.Rate, v.Poll.MaxPaths, atLeast), "", p.key("poll").key("max_paths"), limits)
	}
}

func (k *checker) policy() {
	p := root("policy").key("chain")
	if k.c.Policy.Chain == nil {
		k.c.Policy.Chain = []PolicyRef{{Bundle: Ref{Scheme: "builtin", Name: "scope"}}}
	}
	if len(k.c.Policy.Chain) == 0 {
		k.conflict(p, "is empty, which would deny everything; leave it out for builtin:scope", "")
	}
	for i, b := range k.c.Policy.Chain {
		p := p.at(i)
		switch builtin, signed := b.Bundle.Scheme == "builtin", !b.Verify.IsZero(); {
		case builtin && signed:
			k.conflict(p.key("verify"), "a built-in policy has no signature", "", p)
		case builtin && b.Unsigned:
			k.conflict(p.key("unsigned"), "a built-in policy has no signature", "", p)
		case !builtin && signed && b.Unsigned:
			k.conflict(p.key("unsigned"), "contradicts verify", "", p)
		case !builtin && !signed && !b.Unsigned:
			k.conflict(p.key("verify"), "is needed for a file; or say unsigned: true", "", p)
		}
	}
}

func (k *checker) audit() {
	p := root("audit")
	if k.c.Audit.Key.IsZero() && slices.ContainsFunc(k.c.Audit.Sinks, func(s Sink) bool { return s.Type != "stdout" }) {
		k.conflict(p.key("key"), "is needed but for the sink stdout alone; want a reference such as file:keys/audit.key", "", p.key("sinks"))
	}
	if !slices.ContainsFunc(k.c.Audit.Sinks, func(s Sink) bool { return s.Required }) {
		k.conflict(p.key("sinks"), "none is required, so values could leave without a record; set required: true on one", "")
	}
	for i, s := range k.c.Audit.Sinks {
		if s.Type == "stdout" && s.Required && k.c.Audit.Durability == "strict" {
			k.conflict(p.key("durability"), "strict wants an acknowledgement, and nobody acknowledges what is written to stdout; say process, or require another sink", "", p.key("sinks").at(i))
		}
	}
}

func (k *checker) files() {
	seen := map[string]string{}
	use := func(p *path, name string) {
		abs := filepath.Clean(k.c.Abs(name))
		if first, dup := seen[abs]; dup {
			k.conflict(p, first+" is the same file", "")
			return
		}
		seen[abs] = p.String()
	}
	if f := k.c.State.File; f != nil {
		use(root("state").key("path"), f.Path)
	}
	for _, name := range slices.Sorted(maps.Keys(k.c.Upstreams)) {
		if e := k.c.Upstreams[name].Embedded; e != nil {
			use(root("upstreams").key(name).key("path"), e.Path)
		}
	}
	for i := range k.c.Audit.Sinks {
		if f := k.c.Audit.Sinks[i].File; f != nil {
			use(root("audit").key("sinks").at(i).key("path"), f.Path)
		}
	}
}
