package app

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// mounts opens each upstream that a mount uses, once, and binds the mounts to them.
func (b *builder) mounts() ([]proxy.Mount, error) {
	c := b.env.Config
	upstreams := map[string]secret.Upstream{}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u := c.Upstreams[name]
		opened, err := b.drivers.Upstreams[u.Type](b.env, u)
		if err != nil {
			return nil, fmt.Errorf("upstreams.%s: %w", name, err)
		}
		b.closing(opened.Close)
		upstreams[name] = opened
	}
	out := mountsOf(c)
	for i := range out {
		out[i].Upstream = upstreams[out[i].UpstreamName]
	}
	return out, nil
}

// mountsOf is the mounts of a configuration, without their upstreams.
func mountsOf(c *config.Config) []proxy.Mount {
	out := make([]proxy.Mount, len(c.Mounts))
	for i, m := range c.Mounts {
		out[i] = proxy.Mount{
			Path: m.Path, UpstreamName: m.Upstream, At: m.At.String(),
			Layout: proxy.Layout(m.Layout), Labels: pairs(m.Labels), Freshness: proxy.Freshness(m.Freshness),
			TTL: cache.TTL{Soft: m.Cache.SoftTTL, Hard: m.Cache.HardTTL},
		}
	}
	return out
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
