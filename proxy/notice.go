package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// NoticeTrust is the trust of the principal of every Notice; its subject is who says so.
const NoticeTrust = "event"

// Notice is the word of a platform that objects of an upstream may have changed. Whoever can deliver it needs no token:
// the platform lets nobody else.
type Notice struct {
	From      string   // who says so, such as "aws.secretsmanager"
	ID        string   // the platform's name of this word, for the records
	Upstreams []string // the upstreams that it may be about
	Objects   []string // names that the object may have there
}

// Changed is Invalidate for the secrets that the objects are shown as, by all mounts of these upstreams: each is decided
// and recorded by itself, and one that fails holds up none of the others. It returns how many succeeded. Objects that no
// mount shows are nobody's business and leave no record. After an error it may be called again with the same notice.
func (p *Proxy) Changed(ctx context.Context, c *Call, n *Notice) (int, error) {
	var tried []Invalidation
	var failed []error
	for _, m := range p.mounts.all {
		if !slices.Contains(n.Upstreams, m.UpstreamName) {
			continue
		}
		for _, name := range n.Objects {
			i, ok := m.invalidation(name)
			if !ok || slices.Contains(tried, i) {
				continue
			}
			tried = append(tried, i)
			if err := p.notice(ctx, c, n, i); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return len(tried) - len(failed), errors.Join(failed...)
}

// invalidation is what the object is shown as through this mount; ok is false where it is not.
func (m *mount) invalidation(name string) (i Invalidation, ok bool) {
	path, ok := m.path(name)
	i = Invalidation{Path: path, Below: m.Layout == Fields}
	return i, ok && (i.Below || !path.IsZero())
}

func (p *Proxy) notice(ctx context.Context, c *Call, n *Notice, i Invalidation) error {
	t := p.begin(c, policy.Invalidate)
	defer p.end(t)
	t.rec.Resource.Path = i.Path.String()
	patterns, err := i.patterns()
	if err != nil {
		return err
	}
	pr := policy.Principal{Trust: NoticeTrust, Subject: n.From, TokenID: n.ID, AuthenticatedBy: NoticeTrust, Expires: t.rec.Time.Add(time.Minute)}
	for _, pattern := range patterns {
		pr.Scopes = append(pr.Scopes, policy.Scope{Action: policy.Invalidate, Pattern: pattern})
	}
	t.actFor(&identity.Verified{Principal: pr, IssuedAt: t.rec.Time, NotBefore: t.rec.Time})
	_, err = p.invalidate(ctx, t, i)
	return err
}
