package trust

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// fixed is what a map without places for claims always gives.
type fixed struct {
	base   secret.Path
	scopes policy.Scopes
}

func (k *checker) checkMap() {
	k.checkScopes()
	good := len(k.errs) == 0
	if k.Map.Base != "" {
		var ok bool
		k.base, ok = k.pathText(k.Map.Base, func(s string) error { _, err := secret.ParsePath(s); return err }, "map", "base")
		good = good && ok
	}
	for i, s := range k.Map.Scopes {
		t, ok := k.pathText(s, func(s string) error { _, err := policy.ParseScope(s); return err }, "map", "scope", i)
		k.scopes = append(k.scopes, t)
		good = good && ok
	}
	k.checkLabels()
	if good {
		k.checkApart()
		k.makeFixed()
	}
}

// text reads a text of map and finds the requirements that its places are for.
func (k *checker) text(s string, at ...any) (text, bool) {
	t, msg := parseText(s)
	if msg != "" {
		k.fail(msg, at...)
		return t, false
	}
	good := true
	for i := range t.parts {
		p := &t.parts[i]
		if p.claim == "" {
			continue
		}
		p.index = slices.IndexFunc(k.require, func(r requirement) bool { return r.claim.text == p.claim })
		if p.index < 0 {
			good = false
			k.fail(fmt.Sprintf("{%s}: the rule does not require this claim, so a token could say anything there; add it to require", excerptName(p.claim)), at...)
		}
	}
	return t, good
}

// pathText reads a text that becomes a path or a pattern. The values of a claim in it must be parts of a segment; what is
// written out is checked now, what "*" lets through when a token brings it.
func (k *checker) pathText(s string, parse func(string) error, at ...any) (text, bool) {
	t, ok := k.text(s, at...)
	if !ok {
		return t, false
	}
	sample := make([]string, len(k.require))
	for i := range sample {
		sample[i] = "x"
	}
	if err := parse(t.fill(sample)); err != nil {
		k.fail(err.Error(), at...)
		return t, false
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.index < 0 {
			continue
		}
		for _, v := range k.require[p.index].values {
			if v != anyValue && !isSegment(v) {
				ok = false
				k.fail("a token with it would be refused: "+notSegment(p.claim, v), at...)
			}
		}
	}
	return t, ok
}

func (k *checker) checkLabels() {
	folded := make(map[string]string, len(k.Map.Labels))
	for _, name := range slices.Sorted(maps.Keys(k.Map.Labels)) {
		if name == "" || len(name) > maxNameBytes || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" {
			k.fail("want a name of letters, digits, _ . -; at most 64", "map", "labels", name)
		}
		if other, dup := folded[strings.ToLower(name)]; dup {
			k.fail(fmt.Sprintf("is %s but for the case of its letters, and an access token cannot hold both; choose another name", excerpt(other)), "map", "labels", name)
		}
		folded[strings.ToLower(name)] = name
		value := k.Map.Labels[name]
		if value == "" || len(value) > maxLabelBytes || !plain(value) {
			k.fail(fmt.Sprintf("want a value of 1 to %d bytes without control characters", maxLabelBytes), "map", "labels", name)
			continue
		}
		t, _ := k.text(value, "map", "labels", name)
		k.labels = append(k.labels, label{"labels." + name, t})
	}
}

func (k *checker) makeFixed() {
	if !k.base.fixed() || slices.ContainsFunc(k.scopes, func(t text) bool { return !t.fixed() }) {
		return
	}
	k.made = &fixed{}
	if k.Map.Base != "" {
		k.made.base, _ = secret.ParsePath(k.base.fill(nil))
	}
	for i := range k.scopes {
		s, _ := policy.ParseScope(k.scopes[i].fill(nil))
		k.made.scopes = append(k.made.scopes, s)
	}
}

// excerptName is a claim's name for a message, without quotes.
func excerptName(s string) string { return strings.Trim(excerpt(s), `"`) }
