package proxy

import (
	"encoding/json"
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
	id, subject string
	pattern     secret.Pattern // of "secret:PATTERN"
	at, until   time.Time
	why         reasons
}

// reasons is the payload of a fact: for people, and to tell whose it is, never to tell what is revoked.
type reasons struct {
	Reason string `json:"reason"`
	Trust  string `json:"trust"`
	By     string `json:"by"`
}

// shown is v as callers see it.
func (v revocation) shown() Revocation {
	kind, name, _ := strings.Cut(v.subject, ":")
	return Revocation{
		ID: v.id, Kind: api.RevocationKind(kind), Name: name, Reason: v.why.Reason, By: v.why.By, At: v.at, Until: v.until,
	}
}

// with returns r and more facts, revocations and liftings, in their order. What has expired by now is left out.
func (r *revocations) with(facts []state.Fact, now time.Time) *revocations {
	var byFact map[string]revocation
	for i := range facts {
		f := &facts[i]
		_, lifted := r.byFact[f.Subject]
		if f.Kind != state.Revocation && (f.Kind != state.Lift || !lifted && byFact == nil) {
			continue // facts of other kinds are lifted, too
		}
		if byFact == nil {
			if byFact = maps.Clone(r.byFact); byFact == nil {
				byFact = map[string]revocation{}
			}
		}
		if f.Kind == state.Lift {
			delete(byFact, f.Subject)
		} else {
			byFact[f.ID] = newRevocation(f)
		}
	}
	if byFact == nil {
		return r
	}
	out := &revocations{byFact: byFact, named: map[string]time.Time{}}
	for id, v := range byFact {
		switch until, dup := out.named[v.subject]; {
		case !lasts(v.until, now):
			delete(byFact, id)
		case !v.pattern.IsZero():
			out.secrets = append(out.secrets, v)
		case !dup || !until.IsZero() && (v.until.IsZero() || v.until.After(until)):
			// Several facts may revoke one subject: the one that lasts longest counts.
			out.named[v.subject] = v.until
		}
	}
	return out
}

// newRevocation reads a fact. What a newer node meant may not be readable here: then every secret is refused, rather
// than one served that should not be.
func newRevocation(f *state.Fact) revocation {
	v := revocation{id: f.ID, subject: f.Subject, at: f.At, until: f.ExpiresAt}
	_ = json.Unmarshal(f.Payload, &v.why) // what another version wrote may say nothing here
	kind, text, _ := strings.Cut(f.Subject, ":")
	switch api.RevocationKind(kind) {
	case api.RevokeTokenID, api.RevokeKeyID, api.RevokeSubject, api.RevokeTrust:
		return v
	case api.RevokeSecret:
		var err error
		if v.pattern, err = secret.ParseConfigPattern(text); err == nil {
			return v
		}
	}
	v.pattern = secret.Everything()
	return v
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

// standing is how many there are, and how many of them a principal has made.
func (r *revocations) standing(trust, by string, now time.Time) (all, own int) {
	for _, v := range r.byFact {
		if !lasts(v.until, now) {
			continue
		}
		all++
		if v.why.Trust == trust && v.why.By == by {
			own++
		}
	}
	return all, own
}

func (r *revocations) holds(subject string, now time.Time) bool {
	until, ok := r.named[subject]
	return ok && lasts(until, now)
}

func lasts(until, now time.Time) bool { return until.IsZero() || now.Before(until) }
