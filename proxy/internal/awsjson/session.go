package awsjson

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keyhole-edge/keyhole/proxy/internal/keeper"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Times of a session.
const (
	// renewAhead is how long before its end a session is renewed.
	renewAhead = 5 * time.Minute
	// refusalHolds is how long after new credentials a refusal is final without others. A caller who keeps asking for
	// what we may not read must not make a login of each question, nor where no login helps, as in a region that the
	// account has not enabled.
	refusalHolds = time.Minute
)

// session is credentials and when we got them. It does not change.
type session struct {
	creds aws.Credentials
	since time.Time // by the wall clock
}

func (s *session) left(now time.Time) time.Duration {
	return s.creds.Expires.Round(0).Sub(now.Round(0))
}

// Alive implements keeper.Session.
func (s *session) Alive(now time.Time) bool { return !s.creds.CanExpire || s.left(now) > 0 }

// Fresh implements keeper.Session.
func (s *session) Fresh(now time.Time) bool { return !s.creds.CanExpire || s.left(now) > renewAhead }

// young reports whether s was got so lately that others would be no better. A clock that was set back makes none young.
func (s *session) young(now time.Time) bool {
	age := now.Round(0).Sub(s.since.Round(0))
	return 0 <= age && age < refusalHolds
}

// sessions keeps one set of credentials for all calls.
type sessions struct {
	provider Provider
	wall     func() time.Time
	kept     *keeper.Keeper[*session]
	vain     atomic.Pointer[session] // was got in place of one that was not taken, and was not taken either
}

func newSessions(p Provider, wall func() time.Time) *sessions {
	return &sessions{
		provider: p, wall: wall,
		kept: keeper.New[*session](wall, fmt.Errorf("%w: fetching them came to nothing", ErrLogin)),
	}
}

// get returns credentials to sign with.
func (k *sessions) get(ctx context.Context) (*session, error) { return k.kept.Get(ctx, nil, k.fetch) }

// renew returns other credentials than those that AWS did not take, or the same where there are no others. denied means
// that AWS knew them, and refused what was asked.
func (k *sessions) renew(ctx context.Context, refused *session, denied bool) (*session, error) {
	if (denied || k.vain.Load() == refused) && refused.young(k.wall()) {
		return refused, nil
	}
	return k.kept.Get(ctx, func(s *session) bool { return s == refused }, k.fetch)
}

// inVain says of new credentials that AWS takes them no more than those before: it is not the credentials.
func (k *sessions) inVain(s *session) { k.vain.Store(s) }

func (k *sessions) fetch(ctx context.Context, _ *session) (*session, error) {
	since := k.wall()
	creds, err := k.provider.Retrieve(ctx)
	switch done := secret.ContextError(ctx); {
	case err == nil && creds.HasKeys():
		return &session{creds, since}, nil
	case err == nil:
		return nil, fmt.Errorf("%w are empty", ErrLogin)
	case done != nil:
		return nil, done
	case errors.Is(err, ErrLogin), errors.Is(err, ErrClock), errors.Is(err, ErrClosed):
		return nil, err
	}
	// Texts of other providers may quote what they were answered.
	return nil, fmt.Errorf("%w cannot be had", ErrLogin)
}
