package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Limits of a revocation, in bytes.
const (
	MaxRevokedName      = 512
	MaxRevocationReason = 256
)

// How many revocations may stand when somebody without the scope revoke:** adds one: who may do little cannot fill the log,
// which every node reads and holds. Who has the scope is never refused for it.
const (
	maxRevocationsOfOne = 1_000  // that the same principal made
	maxRevocationsOfAll = 50_000 // whoever made them
)

// Revocation is what may no longer be used, and why.
type Revocation struct {
	Kind   api.RevocationKind
	Name   string    // what is revoked: 1 to MaxRevokedName bytes; a pattern where Kind is api.RevokeSecret
	Reason string    // for people: 1 to MaxRevocationReason bytes
	Until  time.Time // zero: until it is lifted, or can no longer matter

	// What follows is given by Revoke.
	ID         string // with which it can be lifted
	At         time.Time
	By         string // subject of who revoked
	Generation uint64 // of this node, which has applied it
	Decision   string
}

func (r *Revocation) subject() string { return string(r.Kind) + ":" + r.Name }

// said is what the record has of r.
func (r *Revocation) said() string {
	if r.Until.IsZero() {
		return r.subject() + ": " + r.Reason
	}
	return r.subject() + " until " + r.Until.UTC().Format(time.RFC3339) + ": " + r.Reason
}

// check returns the secrets that r revokes, zero for the other kinds, or what the caller should have sent.
func (r *Revocation) check(now time.Time) (pattern secret.Pattern, e *Error) {
	switch {
	case !oneLine(r.Name, MaxRevokedName):
		return pattern, fail(api.InvalidRequest, string(r.Kind)+" is 1 to 512 bytes without control characters")
	case !oneLine(r.Reason, MaxRevocationReason):
		return pattern, fail(api.InvalidRequest, "reason is 1 to 256 bytes without control characters: it is for who reads the record")
	case !r.Until.IsZero() && !r.Until.After(now):
		return pattern, fail(api.InvalidRequest, "until is over already")
	case r.Until.UTC().Year() > 9999:
		return pattern, fail(api.InvalidRequest, "until is after the year 9999")
	case r.Kind != api.RevokeSecret:
		return pattern, nil
	}
	pattern, err := secret.ParsePattern(r.Name)
	if err != nil {
		return pattern, fail(api.InvalidPath, err.Error())
	}
	return pattern, nil
}

// oneLine reports whether s is a text that a line of a log can hold.
func oneLine(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !slices.ContainsFunc([]rune(s), unicode.IsControl)
}

// Revoke makes every node refuse what r names from the next request on that it has checked its generation for. It takes
// the scope revoke:** for all but secrets, for which a revoke scope has to cover the pattern, and the token that asks,
// which whoever holds it may end without any scope. Nothing is looked up: what does not exist yet can be revoked.
func (p *Proxy) Revoke(ctx context.Context, c *Call, r Revocation) (Revocation, error) {
	t := p.begin(c, policy.Revoke)
	defer p.end(t)
	pattern, e := r.check(t.rec.Time)
	if e != nil {
		return r, e
	}
	t.rec.Resource.Path = pattern.String()
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return r, err
	}
	if err := p.decideRevocation(ctx, t, &r, pattern); err != nil {
		return r, err
	}
	if e := p.roomFor(t); e != nil {
		t.rec.Decision.Effect = policy.Deny.String()
		return r, p.refuse(ctx, t, e)
	}
	if r.Kind == api.RevokeTokenID {
		// A holder's stays for as long as it can matter, and no longer, whatever is asked for.
		last := p.outlived(t, r.Name)
		if r.Until.IsZero() || !last.IsZero() && r.Until.After(last) && !t.mayRevokeAll() {
			r.Until = last
		}
	}
	r.At, r.By = t.rec.Time, t.rec.Principal.Subject
	t.rec.Decision.Reason = r.said()
	done, err := p.pair(ctx, t, func(ctx context.Context) (outcome, error) {
		r.ID = t.rec.ID
		return outcome{status: http.StatusCreated}, p.fresh.revoke(ctx, &r, t.rec.Principal.Trust)
	})
	r.Generation, r.Decision = p.fresh.generation(), done.intent
	return r, err
}

// decideRevocation holds what is to be revoked, or lifted, against the state, the scopes and, where secrets are concerned,
// the policy.
func (p *Proxy) decideRevocation(ctx context.Context, t *transaction, r *Revocation, pattern secret.Pattern) error {
	// A node that cannot read the log cannot write it either: say so before anything is decided.
	if err := p.current(ctx, t, Strict, false); err != nil {
		return err
	}
	if !t.mayRevoke(r, pattern) {
		t.rec.Decision.Effect = policy.Deny.String()
		return p.refuse(ctx, t, fail(api.ScopeDenied, "no revoke scope of the token covers this; all but secrets take revoke:**"))
	}
	t.rec.Decision.Effect = policy.Allow.String()
	path, one := pattern.Path()
	if !one {
		return nil // policies decide about secrets, and no one secret is named
	}
	p.about(t, path)
	if e := p.verdict(ctx, t); e != nil {
		return p.refuse(ctx, t, e)
	}
	return nil
}

// mayRevoke reports whether the token's scopes are enough for r.
func (t *transaction) mayRevoke(r *Revocation, pattern secret.Pattern) bool {
	switch {
	case r.Kind == api.RevokeTokenID && r.Name == t.req.Principal.TokenID:
		return true
	case r.Kind != api.RevokeSecret:
		return t.mayRevokeAll()
	}
	return len(t.req.Principal.Scopes.Narrow(policy.Scopes{{Action: policy.Revoke, Pattern: pattern}})) > 0
}

func (t *transaction) mayRevokeAll() bool {
	return slices.Contains(t.req.Principal.Scopes, policy.Scope{Action: policy.Revoke, Pattern: secret.Everything()})
}

// roomFor refuses one more revocation by who may not revoke everything.
func (p *Proxy) roomFor(t *transaction) *Error {
	if t.mayRevokeAll() {
		return nil
	}
	pr := t.req.Principal
	all, own := p.fresh.revoked.Load().standing(pr.Trust, pr.Subject, t.rec.Time)
	if own < maxRevocationsOfOne && all < maxRevocationsOfAll {
		return nil
	}
	e := fail(api.RateLimited, "too many revocations stand; lift some, or have one made with the scope revoke:**, of the subject for example")
	e.RetryAfter = time.Minute
	return e
}

// outlived is when the token of this id cannot be alive any more, nor one that was made from it: in its last moment, which
// the leeway draws out, it may have been exchanged for one that has a leeway of its own. It is zero for a token without an
// end.
func (p *Proxy) outlived(t *transaction, id string) time.Time {
	if t.rules.Verifier.Endless(id) {
		return time.Time{}
	}
	end := t.rec.Time.Add(t.rules.Verifier.LongestLife())
	if pr := t.req.Principal; id == pr.TokenID && !pr.Expires.IsZero() {
		end = pr.Expires
	} else if pt := p.fresh.tokens.Load().find(id); pt != nil && pt.Expires.After(end) {
		end = pt.Expires
	}
	return end.Add(identity.MaxTTL + 2*identity.Leeway).Truncate(time.Second)
}

// Lift ends the revocation of this ID for every node. What was cached of a secret while it was revoked stays dropped.
func (p *Proxy) Lift(ctx context.Context, c *Call, id string) (Revocation, error) {
	t := p.begin(c, policy.Revoke)
	defer p.end(t)
	t.rec.Action, t.rec.Decision.Reason = audit.ActionLift, id
	if _, err := p.authenticate(ctx, c, t); err != nil {
		return Revocation{}, err
	}
	if err := p.current(ctx, t, Strict, false); err != nil {
		return Revocation{}, err
	}
	found, ok := p.fresh.revoked.Load().byFact[id]
	r := found.shown()
	// A stranger is not told which IDs there are.
	if !t.mayRevoke(&r, found.pattern) {
		t.rec.Decision.Effect = policy.Deny.String()
		return Revocation{}, p.refuse(ctx, t, fail(api.ScopeDenied, "no revoke scope of the token covers this; all but secrets take revoke:**"))
	}
	if !ok {
		return Revocation{}, p.refuse(ctx, t, fail(api.NotFound, "no revocation of this id stands"))
	}
	if err := p.decideRevocation(ctx, t, &r, found.pattern); err != nil {
		return Revocation{}, err
	}
	t.rec.Decision.Reason = id + " of " + r.subject()
	done, err := p.pair(ctx, t, func(ctx context.Context) (outcome, error) {
		return outcome{status: http.StatusOK}, p.fresh.lift(ctx, id)
	})
	r.Generation, r.Decision = p.fresh.generation(), done.intent
	return r, err
}

// RevocationListing is what is revoked now and the token may revoke, in the order of the IDs.
type RevocationListing struct {
	Revocations []Revocation
	More        bool // there are others behind them
	Decision    string
}

// Revocations lists what is revoked after an ID ("": from the first on), at most limit.
func (p *Proxy) Revocations(ctx context.Context, c *Call, after string, limit int) (out RevocationListing, err error) {
	t := p.begin(c, policy.Revoke)
	defer p.end(t)
	t.rec.Action = audit.ActionRevocations
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return out, err
	}
	if err := p.current(ctx, t, Strict, false); err != nil {
		return out, err
	}
	if !pr.Scopes.CanMatchUnder(policy.Revoke, secret.Path{}) {
		t.rec.Decision.Effect = policy.Deny.String()
		return out, p.refuse(ctx, t, fail(api.ScopeDenied, "the token has no revoke scope"))
	}
	out.Revocations, out.More = p.fresh.revoked.Load().list(t, after, limit)
	t.rec.Decision.Effect = policy.Allow.String()
	t.rec.Result.Status, t.rec.Result.Returned = http.StatusOK, len(out.Revocations)
	if err := p.record(ctx, t); err != nil {
		return RevocationListing{}, err
	}
	out.Decision = t.rec.ID
	return out, nil
}

// list is Revocations without the decision.
func (r *revocations) list(t *transaction, after string, limit int) (list []Revocation, more bool) {
	ids := make([]string, 0, len(r.byFact))
	for id, v := range r.byFact {
		shown := v.shown()
		if id > after && lasts(v.until, t.rec.Time) && t.mayRevoke(&shown, v.pattern) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if more = len(ids) > limit; more {
		ids = ids[:limit]
	}
	for _, id := range ids {
		list = append(list, r.byFact[id].shown())
	}
	return list, more
}

// revoke appends the fact of r, which is durable and applied here when it returns.
func (f *freshness) revoke(ctx context.Context, r *Revocation, trust string) error {
	why, err := json.Marshal(reasons{Reason: r.Reason, Trust: trust, By: r.By})
	if err != nil {
		return err
	}
	return f.tell(ctx, state.Fact{
		ID: r.ID, Kind: state.Revocation, Subject: r.subject(), At: r.At.UTC(), ExpiresAt: r.Until, Payload: why,
	})
}

func (f *freshness) lift(ctx context.Context, id string) error {
	now := f.wall().UTC()
	return f.tell(ctx, state.Fact{ID: audit.NewID(now), Kind: state.Lift, Subject: id, At: now})
}
