package proxy

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Call is a request as its surface received it: the token, and the circumstances that policies and records see.
type Call struct {
	Token     string // as sent, without the scheme; "" where none was sent
	Surface   string // "native", "cli", …
	SourceIP  string // textual address, zones and ports removed
	UserAgent string
	RequestID string
	TraceID   string
	// IAM is the caller that the platform names, nil where it names none or is not to be believed. A token comes before it:
	// where one was sent, whoever the platform names is nobody.
	IAM *identity.IAM
}

type iamKey struct{}

// WithIAM makes c the caller of the request of a context, for a surface whose platform is to be believed.
func WithIAM(ctx context.Context, c *identity.IAM) context.Context {
	return context.WithValue(ctx, iamKey{}, c)
}

// IAMOf is what WithIAM has put in, nil where it has not been called.
func IAMOf(ctx context.Context) *identity.IAM {
	c, _ := ctx.Value(iamKey{}).(*identity.IAM)
	return c
}

// transaction is what one request carries through the decision path. It is pooled: nothing may keep it.
type transaction struct {
	sent  string        // the token, as it was sent
	iam   *identity.IAM // the caller where none was sent; nil: none
	req   policy.Request
	rec   audit.Record
	token *identity.Verified // nil before it is verified
	rules *ruleSet           // what decides the request, from begin to end
	limit deadline           // see bounded

	turn  uint64         // of freshness, at which the path was decided
	below secret.Pattern // what is acted on besides the path; zero for the path alone
}

// restricted reports whether the labels of the request say that its value is never served on old knowledge.
func (t *transaction) restricted() bool { return t.rec.Resource.Classification == restrictedClass }

func (p *Proxy) begin(c *Call, action policy.Action) *transaction {
	t, _ := p.pool.Get().(*transaction)
	if t == nil {
		t = new(transaction)
	}
	t.sent, t.rules = c.Token, p.join()
	if c.Token == "" {
		t.iam = c.IAM
	}
	now := p.wall()
	ua := c.UserAgent
	if len(ua) > audit.MaxUserAgent {
		ua = ua[:audit.MaxUserAgent]
	}
	t.req.Action = action
	t.req.Context = policy.Context{Time: now, Region: p.region, SourceIP: c.SourceIP, Surface: c.Surface, UserAgent: ua}
	t.rec.ID, t.rec.Time, t.rec.Kind, t.rec.Action = audit.NewID(now), now, audit.Access, string(action)
	t.rec.Via = audit.Via{Surface: c.Surface, SourceIP: c.SourceIP, UserAgent: ua, RequestID: c.RequestID, TraceID: c.TraceID}
	return t
}

func (p *Proxy) end(t *transaction) {
	t.rules.leave()
	if !t.limit.end() {
		return // its deadline may have been kept
	}
	*t = transaction{}
	p.pool.Put(t)
}
