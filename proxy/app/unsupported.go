package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// unsupported names every setting of c that asks for what this build does not do. A setting is never ignored: whoever
// wrote it relies on it.
func unsupported(c *config.Config) error {
	var errs []error
	refuse := func(set bool, key, what string) {
		if set {
			errs = append(errs, fmt.Errorf("%s: %s is not supported by this version; remove the key", key, what))
		}
	}
	refuse(c.Listen.Vault.Address != "", "listen.vault", "the Vault dialect")
	refuse(c.Cache.SecondLevel.Enabled, "cache.second_level.enabled", "the second cache level")
	refuse(c.Telemetry.OTLP != "", "telemetry.otlp", "OTLP export")
	for i, p := range c.Policy.Chain {
		if _, ok := policies.Builtin(p.Bundle.Name); p.Bundle.Scheme == "builtin" && !ok {
			errs = append(errs, fmt.Errorf("policy.chain[%d].bundle: there is no builtin policy %q; there are %s", i, p.Bundle.Name, strings.Join(policies.Names(), ", ")))
		}
		refuse(!p.Verify.IsZero(), fmt.Sprintf("policy.chain[%d].verify", i), "verifying signed bundles")
	}
	refs := map[string]config.Ref{
		"identity.signing_key": c.Identity.SigningKey, "identity.keys": c.Identity.Keys, "audit.key": c.Audit.Key,
	}
	for name, u := range c.Upstreams {
		for key, ref := range u.Refs() {
			refs["upstreams."+name+"."+key] = ref
		}
	}
	for name, h := range c.Hooks {
		for key, ref := range h.Refs() {
			refs["hooks."+name+"."+key] = ref
		}
	}
	for key, ref := range refs {
		refuse(ref.Scheme == "kms", key, "a key in a key management service")
	}
	return errors.Join(errs...)
}

// Unsupported says what in a valid configuration these drivers cannot run, nil if nothing: New refuses it.
func (d Drivers) Unsupported(c *config.Config) error {
	errs := []error{unsupported(c)}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if kind := c.Upstreams[name].Type; d.Upstreams[kind] == nil {
			errs = append(errs, notLinked("upstreams."+name+".type", kind, d.Upstreams))
		}
	}
	if d.States[c.State.Type] == nil {
		errs = append(errs, notLinked("state.type", c.State.Type, d.States))
	}
	for i, s := range c.Audit.Sinks {
		if d.Sinks[s.Type] == nil {
			errs = append(errs, notLinked(fmt.Sprintf("audit.sinks[%d].type", i), s.Type, d.Sinks))
		}
	}
	return errors.Join(errs...)
}
