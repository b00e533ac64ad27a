package app

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// hooks reads the keys of the hooks.
func (b *builder) hooks() (*identity.Hooks, error) {
	configured := b.env.Config.Hooks
	var hooks []identity.HookConfig
	defer func() {
		for _, h := range hooks {
			for _, key := range h.Keys {
				clear(key)
			}
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		h := configured[name]
		c := identity.HookConfig{Name: name, Allow: h.Allow, MaxAge: h.MaxAge}
		for _, ref := range []config.Ref{h.Key, h.OldKey} {
			if ref.IsZero() {
				continue
			}
			key, err := b.env.Resolve(ref)
			if err != nil {
				return nil, fmt.Errorf("hooks.%s: %w", name, err)
			}
			c.Keys = append(c.Keys, key)
		}
		hooks = append(hooks, c)
	}
	h, err := identity.NewHooks(hooks)
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	return h, nil
}
