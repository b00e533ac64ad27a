package proxy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// revocations is what may no longer be used, by fact. It never changes: applying a fact makes another one.
type revocations struct {
	byFact  map[string]revocation // by fact ID, so that it can be lifted
	named   map[string]time.Time  // "token_id:…", "key_id:…", "subject:…", "trust:…" -> until, zero for ever
	secrets []revocation
}

type revocation struct {
	subject string
	pattern secret.Pattern // of "secret:PATTERN"
	until   time.Time
}

// with returns r and one more fact: a revocation or the lifting of one.
func (r *revocations) with(f *state.Fact) *revocations {
	facts := maps.Clone(r.byFact)
	if facts == nil {
		facts = map[string]revocation{}
	}
	switch f.Kind {
	case state.Lift:
		delete(facts, f.Subject)
	case state.Revocation:
		v := revocation{subject: f.Subject, until: f.ExpiresAt}
		if text, ok := strings.CutPrefix(f.Subject, "secret:"); ok {
			var err error
			if v.pattern, err = secret.ParseConfigPattern(text); err != nil {
				// What a newer node meant cannot be read here: refuse every secret rather than serve one.
				v.pattern = secret.Everything()
			}
		}
		facts[f.ID] = v
	}
	out := &revocations{byFact: facts, named: map[string]time.Time{}}
	for _, id := range slices.Sorted(maps.Keys(facts)) {
		v := facts[id]
		if !v.pattern.IsZero() {
			out.secrets = append(out.secrets, v)
			continue
		}
		// Several facts may revoke one subject: the one that lasts longest counts.
		if until, dup := out.named[v.subject]; !dup || !until.IsZero() && (v.until.IsZero() || v.until.After(until)) {
			out.named[v.subject] = v.until
		}
	}
	return out
}

// check says why the holder of the token may not act on path (the zero Path where none is asked), nil where it may.
func (r *revocations) check(v *identity.Verified, path secret.Path, now time.Time) *Error {
	if len(r.byFact) == 0 {
		return nil
	}
	pr := &v.Principal
	if r.holds("token_id:"+pr.TokenID, now) || r.holds("key_id:"+pr.KeyID, now) {
		return fail(api.TokenRevoked, "the token or the key that signed it is revoked; get a new token")
	}
	for _, id := range append(slices.Clone(pr.Parents), v.OriginTokenID) {
		if r.holds("token_id:"+id, now) {
			return fail(api.TokenRevoked, "the token was made from one that is revoked; get a new token")
		}
	}
	if r.holds("subject:"+pr.Subject, now) || r.holds("trust:"+pr.Trust, now) {
		return fail(api.Revoked, "the access of this principal is revoked")
	}
	for _, s := range r.secrets {
		if !path.IsZero() && s.pattern.Match(path) && lasts(s.until, now) {
			return fail(api.Revoked, "this secret is revoked")
		}
	}
	return nil
}

func (r *revocations) holds(subject string, now time.Time) bool {
	until, ok := r.named[subject]
	return ok && lasts(until, now)
}

func lasts(until, now time.Time) bool { return until.IsZero() || now.Before(until) }
