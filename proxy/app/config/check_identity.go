package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func (k *checker) identity() {
	id := &k.c.Identity
	p := root("identity")
	if !id.SigningKey.IsZero() || !id.Keys.IsZero() {
		for name, v := range map[string]string{"issuer": id.Issuer, "audience": id.Audience} {
			if v == "" {
				k.conflict(p.key(name), "is needed with signing_key or keys", "")
			}
		}
	}
	seen := map[string]int{}
	for i := range id.Trust {
		r, p := &id.Trust[i], p.key("trust").at(i)
		if first, dup := seen[r.Name]; dup {
			k.conflict(p.key("name"), fmt.Sprintf("identity.trust[%d] has the same name", first), "")
		} else {
			seen[r.Name] = i
		}
		if r.Name == "local" {
			k.conflict(p.key("name"), `"local" is the name of tokens signed with our own key by hand; choose another`, "")
		}
		k.trustRule(p, r)
	}
}

func (k *checker) trustRule(p *path, r *TrustRule) {
	switch {
	case r.Template == "" && r.Issuer == "":
		k.conflict(p, "needs a template or an issuer", "")
	case r.Template == "" && len(r.With) > 0:
		k.conflict(p.key("with"), "is for a template, and there is none", "", p)
	case r.Template == "":
		for _, x := range []struct {
			name string
			n    int
		}{{"algs", len(r.Algs)}, {"audiences", len(r.Audiences)}, {"require", len(r.Require)}} {
			if x.n == 0 {
				k.conflict(p.key(x.name), "is needed where no template gives it", "", p)
			}
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(r.Require)) {
		if len(r.Require[claim]) == 0 {
			k.conflict(p.key("require").key(claim), "allows no value at all; name at least one", "")
		}
		if slices.Contains(r.Forbid, claim) {
			k.conflict(p.key("require").key(claim), "is required and forbidden", "")
		}
	}
	p = p.key("map")
	if base, err := fill(r.Map.Base); err != nil {
		k.conflict(p.key("base"), err.Error(), "")
	} else if _, err := secret.ParsePath(base); r.Map.Base != "" && err != nil {
		k.conflict(p.key("base"), err.Error(), "")
	}
	for i, s := range r.Map.Scope {
		s, err := fill(s)
		if err == nil {
			_, err = policy.ParseScope(s)
		}
		if err != nil {
			k.conflict(p.key("scope").at(i), err.Error(), "")
		}
	}
	if n := len(r.Map.Scope); n > policy.MaxScopes {
		k.conflict(p.key("scope"), fmt.Sprintf("%d scopes, at most %d are allowed", n, policy.MaxScopes), "")
	}
}

func fill(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, open := strings.Cut(s, "{")
		b.WriteString(before)
		if !open {
			if strings.Contains(before, "}") {
				return "", errors.New(`"}" without "{"`)
			}
			return b.String(), nil
		}
		claim, after, closed := strings.Cut(rest, "}")
		if !closed || claim == "" || strings.Contains(claim, "{") || strings.Contains(before, "}") {
			return "", errors.New("want {CLAIM} with the name of a claim between the braces")
		}
		b.WriteByte('x')
		s = after
	}
}
