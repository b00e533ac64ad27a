package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// DefaultIssuedTTL is how long an access token lives whose caller asks for nothing else.
const DefaultIssuedTTL = 15 * time.Minute

// How many tokens a second are issued, whatever the limits are: each is a signature and a record, and an assertion is
// remembered while it lasts, of which there is room for 65,536. One token serves its holder for minutes, so that these are
// the rates of a fleet which starts at one time, be it of one workload or behind one address.
const (
	exchangesPerPrincipal = 20
	exchangesPerSource    = 100
)

// ErrNotIssuing is wrapped by the errors of a node that has no signing key: another one has to be asked.
var ErrNotIssuing = errors.New("this node signs no tokens")

// ExchangeRequest asks for an access token. The token of the call is what it is exchanged for.
type ExchangeRequest struct {
	// Assertion says that the token of the call is a client's assertion (RFC 7523), which is good for nothing else and once.
	Assertion bool
	ClientID  string        // the client that the caller says it is; "" says nothing
	Scopes    policy.Scopes // what is asked for, with Narrow
	Narrow    bool          // false: all that the token permits
	TTL       time.Duration // at most this long; 0 means DefaultIssuedTTL
}

// Issued is an access token. Its record has been acknowledged.
type Issued struct {
	Token    string
	Scopes   policy.Scopes
	TTL      time.Duration
	Decision string
}

// Exchange makes an access token of a token that is taken here (RFC 8693), or of a client's assertion. It permits at most
// what that one does. One that is made from an access token or a project token ends with it at the latest; an identity of a
// platform is proven for that moment, and what is made from it may outlive it. Revoking what it was made from ends it.
// Policies see the same claims in both, so that what they deny the one they deny the other.
func (p *Proxy) Exchange(ctx context.Context, c *Call, r ExchangeRequest) (Issued, error) {
	t := p.begin(c, policy.Read)
	defer p.end(t)
	t.rec.Action = audit.ActionExchange
	if t.rules.Signer == nil {
		return Issued{}, &Error{Code: api.InvalidRequest, Message: "this node verifies tokens and signs none; ask one that has a signing key", Cause: ErrNotIssuing}
	}
	if err := p.authenticateFor(ctx, c, t, r.Assertion); err != nil {
		return Issued{}, err
	}
	t.rec.Action = audit.ActionExchange
	if err := p.current(ctx, t, Bounded, false); err != nil {
		return Issued{}, err
	}
	claims, e := t.issuable(&r)
	if e != nil {
		return Issued{}, p.refuse(ctx, t, e)
	}
	token, err := t.rules.Signer.Sign(*claims)
	if errors.Is(err, identity.ErrClaims) {
		return Issued{}, p.refuse(ctx, t, fail(api.InvalidRequest, "what the token says and permits does not fit into an access token, which has 8 KiB; ask for a narrower scope, or send the token as it is"))
	}
	if err != nil {
		return Issued{}, p.refuse(ctx, t, because(err))
	}
	t.rec.Decision.Effect = policy.Allow.String()
	t.rec.Decision.Reason = "token_id " + claims.TokenID + " for " + claims.Scopes.String()
	t.rec.Result.Status = http.StatusOK
	if err := p.record(ctx, t); err != nil {
		return Issued{}, err
	}
	return Issued{Token: token, Scopes: claims.Scopes, TTL: claims.Expires.Sub(claims.IssuedAt), Decision: t.rec.ID}, nil
}

// authenticateFor is authenticate, also for the assertion of a client, which is taken once.
func (p *Proxy) authenticateFor(ctx context.Context, c *Call, t *transaction, assertion bool) error {
	if !assertion || c.Token == "" {
		if _, err := p.authenticate(ctx, c, t); err != nil {
			return err
		}
		return p.limitExchange(ctx, c, t)
	}
	if err := p.limitSource(ctx, c, t); err != nil {
		return err
	}
	if err := p.holdBack(ctx, t); err != nil {
		return err
	}
	v, err := t.rules.Verifier.VerifyAssertion(ctx, c.Token)
	if err != nil {
		return p.unverified(ctx, t, err)
	}
	t.actFor(v)
	pr := &v.Principal
	if err := p.limitPrincipal(ctx, pr, t); err != nil {
		return err
	}
	// An assertion that has to wait can be sent again: it is used up below.
	if err := p.limitExchange(ctx, c, t); err != nil {
		return err
	}
	if !p.assertions.Take(pr.Issuer+" "+pr.TokenID, pr.Expires.Add(identity.Leeway), t.rec.Time) {
		return p.unverified(ctx, t, errReplayed)
	}
	return nil
}

// limitExchange bounds how many tokens are made. Who has to wait for the principal takes nothing from the source.
func (p *Proxy) limitExchange(ctx context.Context, c *Call, t *transaction) error {
	t.rec.Action = audit.ActionExchange
	pr, now := t.req.Principal, p.mono()
	wait := p.exchangers.take(p.exchangers.principal(pr.Trust, pr.Issuer, pr.Subject), exchangesPerPrincipal, now)
	if err := p.limited(ctx, t, wait, "too many tokens were issued to this principal; use one until it ends"); err != nil {
		return err
	}
	wait = p.exchangers.take(p.exchangers.source(c.SourceIP), exchangesPerSource, now)
	return p.limited(ctx, t, wait, "too many tokens were issued to this address; slow down")
}

var errReplayed = &Error{Code: api.TokenInvalid, Message: "the assertion was taken before; sign each one anew, with a jti of its own"}

// issuable is what the access token says that r may have.
func (t *transaction) issuable(r *ExchangeRequest) (*identity.Claims, *Error) {
	pr := &t.token.Principal
	scopes := pr.Scopes
	if r.Narrow {
		if scopes = scopes.Narrow(r.Scopes); len(scopes) == 0 {
			return nil, fail(api.InvalidScope, "no scope that is asked for is covered by one that the token has")
		}
	}
	if r.ClientID != "" && r.ClientID != pr.ClientID && (r.Assertion || pr.ClientID != "") {
		return nil, fail(api.InvalidRequest, "client_id is not the client of the token")
	}
	c := &identity.Claims{
		Subject: pr.Subject, ClientID: pr.ClientID, TokenID: audit.NewID(t.rec.Time), Scopes: scopes, Base: pr.Base,
		Trust: pr.Trust, OriginIssuer: pr.Issuer, OriginTokenID: t.token.OriginTokenID, Parents: pr.Parents, Cnf: pr.Cnf,
		Claims:   pr.Claims,
		IssuedAt: t.rec.Time.Truncate(time.Second),
	}
	if c.ClientID == "" {
		c.ClientID = pr.Trust // a platform's workload is known to us by its rule
	}
	if r.TTL == 0 {
		r.TTL = DefaultIssuedTTL
	}
	c.Expires = c.IssuedAt.Add(min(r.TTL, t.rules.MaxTTL))
	switch pr.AuthenticatedBy {
	case "access_token":
		if len(pr.Parents) == identity.MaxParents {
			return nil, fail(api.InvalidRequest, "the token was narrowed four times already; narrow one that was not")
		}
		c.Parents = append(append([]string{}, pr.Parents...), pr.TokenID)
		c.Expires = earlier(c.Expires, pr.Expires)
	case "project_token":
		c.OriginTokenID = pr.TokenID
		c.Expires = earlier(c.Expires, pr.Expires)
	case identity.BySessionToken:
		return nil, fail(api.InvalidRequest, "the token of the program beside this node is good here alone, and for nothing else; send it as it is")
	default:
		c.OriginTokenID = pr.TokenID
	}
	if !c.Expires.After(c.IssuedAt) {
		return nil, fail(api.TokenExpired, "the token has expired; get a new one")
	}
	return c, nil
}

// earlier is the earlier of two times, of which the second may be none.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
