package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// instance names an upstream as it is opened: once for all mounts without a role of their own, and once for each role, so
// that no mount reads with the credentials of another, or is refused because another's role is.
type instance struct {
	upstream string
	role     config.AssumeRole // zero: none
}

// opened is an upstream and what stands before it.
type opened struct {
	upstream secret.Upstream
	guard    *guard.Guard
}

// mounts opens the upstreams and binds the mounts to them.
func (b *builder) mounts() ([]proxy.Mount, error) {
	c := b.env.Config
	all := map[instance]opened{}
	b.app.sources = map[string]secret.Upstream{}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if err := b.open(all, instance{upstream: name}); err != nil {
			return nil, fmt.Errorf("upstreams.%s: %w", name, err)
		}
		b.app.sources[name] = all[instance{upstream: name}].upstream
	}
	out := mountsOf(c)
	for i, m := range c.Mounts {
		which := instance{upstream: m.Upstream}
		if m.AssumeRole != nil {
			which.role = *m.AssumeRole
		}
		if err := b.open(all, which); err != nil {
			return nil, fmt.Errorf("mounts[%d]: %w", i, err)
		}
		out[i].Upstream, out[i].Guard = all[which].upstream, all[which].guard
		if v := c.Upstreams[m.Upstream].Vault; v != nil {
			out[i].Poll = proxy.Poll{Interval: v.Poll.Interval, MaxPaths: v.Poll.MaxPaths}
		}
	}
	return out, nil
}

func (b *builder) open(all map[instance]opened, which instance) error {
	if _, ok := all[which]; ok {
		return nil
	}
	u := b.env.Config.Upstreams[which.upstream]
	if u.AWS != nil {
		own := *u.AWS
		own.Places = b.arns(which.upstream)
		if which.role != (config.AssumeRole{}) {
			own.Assume = &which.role
		}
		u.AWS = &own
	}
	up, err := b.drivers.Upstreams[u.Type](b.env, u)
	if err != nil {
		return err
	}
	b.closing(up.Close)
	g, err := b.guard(u)
	all[which] = opened{up, g}
	return err
}

// arns are those that mounts of an upstream stand at.
func (b *builder) arns(upstream string) []string {
	var out []string
	for _, m := range b.env.Config.Mounts {
		if m.Upstream == upstream && strings.HasPrefix(m.At, "arn:") {
			out = append(out, m.At)
		}
	}
	return out
}

// mountsOf is the mounts of a configuration, without their upstreams and guards.
func mountsOf(c *config.Config) []proxy.Mount {
	out := make([]proxy.Mount, len(c.Mounts))
	for i, m := range c.Mounts {
		out[i] = proxy.Mount{
			Path: m.Path, UpstreamName: m.Upstream, At: m.At,
			Layout: proxy.Layout(m.Layout), Labels: pairs(m.Labels), Freshness: proxy.Freshness(m.Freshness),
			TTL: cache.TTL{
				Soft: m.Cache.SoftTTL, Hard: m.Cache.HardTTL, Stale: m.Cache.StaleIfError, Negative: m.Cache.NegativeTTL,
			},
		}
	}
	return out
}

// guard stands before every upstream across a network. A vault in a file of this machine fails in no way that trying
// again would mend, so that it has limits where the configuration sets them, and nothing else.
func (b *builder) guard(u config.Upstream) (*guard.Guard, error) {
	c := guard.Config{Mono: b.options.Mono}
	switch {
	case u.Vault != nil:
		c.Concurrency, c.Rate = u.Vault.Limits.Concurrency, u.Vault.Limits.Rate
	case u.Keyhole != nil:
		c.Concurrency, c.Rate, c.Timeout = u.Keyhole.Limits.Concurrency, u.Keyhole.Limits.Rate, u.Keyhole.Timeout
	case u.AWS != nil:
		c.Concurrency, c.Rate, c.Timeout = u.AWS.Limits.Concurrency, u.AWS.Limits.Rate, u.AWS.Timeout
	case u.Embedded != nil && u.Embedded.Limits != nil:
		c.Concurrency, c.Rate = u.Embedded.Limits.Concurrency, u.Embedded.Limits.Rate
		c.Attempts, c.Timeout, c.Failures = 1, -1, -1
	default:
		return nil, nil
	}
	return guard.New(c)
}

func labelRules(rules []config.LabelRule) []proxy.LabelRule {
	out := make([]proxy.LabelRule, len(rules))
	for i, r := range rules {
		out[i] = proxy.LabelRule{Match: r.Match, Set: pairs(r.Set)}
	}
	return out
}

func pairs(m map[string]string) []policy.Pair {
	out := make([]policy.Pair, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, policy.Pair{Name: name, Value: m[name]})
	}
	return out
}
