package proxy

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Limits of project tokens.
const (
	MinProjectTokenTTL = time.Minute
	MaxProjectTokenTTL = 400 * 24 * time.Hour
	maxProjectTokens   = 10_000 // that have not expired
)

// ProjectToken is what a project token permits: never the token itself.
type ProjectToken = identity.ProjectToken

// ProjectTokenRequest asks for a project token.
type ProjectTokenRequest struct {
	Environment string
	Subject     string // "" means the environment
	Scopes      policy.Scopes
	Base        secret.Path
	TTL         time.Duration // MinProjectTokenTTL to MaxProjectTokenTTL
}

// CreateProjectToken makes a project token and returns it: it can never be had again, since only its digest is kept. The
// caller's access token has to permit all that the new one does, and revoke:**, which ends every token. A project token
// makes no others, nor does what it is exchanged for: it would outlive itself.
func (p *Proxy) CreateProjectToken(ctx context.Context, c *Call, r ProjectTokenRequest) (token string, made *ProjectToken, err error) {
	t := p.begin(c, policy.Revoke)
	defer p.end(t)
	t.rec.Action = audit.ActionProjectToken
	if r.Subject == "" {
		r.Subject = r.Environment
	}
	if e := r.check(); e != nil {
		return "", nil, e
	}
	if err := p.managesTokens(ctx, c, t, r.Scopes); err != nil {
		return "", nil, err
	}
	if token, err = identity.NewProjectToken(r.Environment); err != nil {
		return "", nil, p.refuse(ctx, t, because(err))
	}
	made = &ProjectToken{
		Environment: r.Environment, Subject: r.Subject, Scopes: r.Scopes, Base: r.Base, CreatedBy: t.rec.Principal.Subject,
		Created: t.rec.Time.UTC(), Expires: t.rec.Time.UTC().Truncate(time.Second).Add(r.TTL),
	}
	if made.Digest, err = identity.ProjectTokenDigest(token); err != nil {
		return "", nil, p.refuse(ctx, t, because(err))
	}
	t.rec.Decision.Reason = "token_id " + made.ID() + " for " + r.Scopes.String()
	_, err = p.pair(ctx, t, func(ctx context.Context) (outcome, error) {
		fact, err := projectTokenFact(t.rec.ID, made)
		if err == nil {
			err = p.fresh.tell(ctx, fact)
		}
		return outcome{status: http.StatusCreated}, err
	})
	if err != nil {
		return "", nil, err
	}
	return token, made, nil
}

func (r *ProjectTokenRequest) check() *Error {
	switch {
	case len(r.Scopes) == 0 || len(r.Scopes) > policy.MaxScopes:
		return fail(api.InvalidScope, "a project token has 1 to 32 scopes")
	case r.TTL < MinProjectTokenTTL || r.TTL > MaxProjectTokenTTL:
		return fail(api.InvalidRequest, "a project token lives from a minute to 400 days")
	case !identity.IsEnvironment(r.Environment):
		return fail(api.InvalidRequest, identity.ErrEnvironment.Error())
	case !oneLine(r.Subject, MaxRevokedName):
		return fail(api.InvalidRequest, "subject is 1 to 512 bytes without control characters")
	}
	return nil
}

// managesTokens refuses who may not make project tokens of these scopes, or see them where there are none.
func (p *Proxy) managesTokens(ctx context.Context, c *Call, t *transaction, scopes policy.Scopes) error {
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return err
	}
	if err := p.current(ctx, t, Strict, false); err != nil {
		return err
	}
	t.rec.Decision.Effect = policy.Deny.String()
	switch all := (policy.Scope{Action: policy.Revoke, Pattern: secret.Everything()}); {
	case pr.AuthenticatedBy != "access_token", pr.Trust == identity.ProjectTrust:
		return p.refuse(ctx, t, fail(api.ScopeDenied, "project tokens are managed with an access token that was not made from one of them"))
	case !slices.Contains(pr.Scopes, all):
		return p.refuse(ctx, t, fail(api.ScopeDenied, "managing project tokens takes the scope revoke:**"))
	case len(pr.Scopes.Narrow(scopes)) != len(scopes):
		return p.refuse(ctx, t, fail(api.ScopeDenied, "a token gives nothing that it does not have: each scope has to be covered by one of its own"))
	case len(scopes) > 0 && len(p.fresh.tokens.Load().byDigest) >= maxProjectTokens:
		return p.refuse(ctx, t, fail(api.InvalidRequest, "there are 10,000 project tokens; more are not kept"))
	}
	t.rec.Decision.Effect = policy.Allow.String()
	return nil
}

// ListedProjectToken is one project token, never the token itself.
type ListedProjectToken struct {
	ProjectToken
	LastUsed time.Time // to the hour; zero: not that this node knows
	Revoked  bool
}

// ProjectTokens lists the project tokens that have not expired, the oldest first.
func (p *Proxy) ProjectTokens(ctx context.Context, c *Call) ([]ListedProjectToken, error) {
	t := p.begin(c, policy.Revoke)
	defer p.end(t)
	t.rec.Action = audit.ActionProjectTokens
	if err := p.managesTokens(ctx, c, t, nil); err != nil {
		return nil, err
	}
	tokens, revoked := p.fresh.tokens.Load(), p.fresh.revoked.Load()
	out := []ListedProjectToken{}
	for _, pt := range tokens.byDigest {
		if t.rec.Time.Before(pt.Expires) {
			out = append(out, ListedProjectToken{*pt, tokens.uses[pt.ID()].at, revoked.holds("token_id:"+pt.ID(), t.rec.Time)})
		}
	}
	slices.SortFunc(out, func(a, b ListedProjectToken) int {
		if d := a.Created.Compare(b.Created); d != 0 {
			return d
		}
		return strings.Compare(a.ID(), b.ID())
	})
	t.rec.Result.Status, t.rec.Result.Returned = http.StatusOK, len(out)
	return out, p.record(ctx, t)
}
