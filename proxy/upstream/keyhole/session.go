package keyhole

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/keeper"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// session is a token. It does not change.
type session struct {
	token secret.Value
	since time.Time     // by the wall clock, before it was asked for
	ttl   time.Duration // 0: we do not know its end
	login uint64        // which login it comes from
	// last: it was made because the one before was not taken. If it is not taken at once as well, that is meant.
	last bool
}

// Times of a session.
const (
	// renewPart is the part of its life that is left when a token is replaced: a fifth.
	renewPart = 5
	// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
	// what we may not read must not make a login of each question.
	refusalHolds = time.Minute
)

// header carries the token. Strings cannot be wiped, so it is made for one request.
func (s *session) header() (http.Header, error) {
	token := s.token.Reveal()
	if err := checkToken(token); err != nil {
		return nil, err
	}
	return http.Header{"Authorization": {"Bearer " + string(token)}}, nil
}

func checkToken(token []byte) error {
	if len(token) == 0 || len(token) > maxToken {
		return fmt.Errorf("%w: the token is empty or longer than %d bytes", ErrLogin, maxToken)
	}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%w: the token has a byte that no token has", ErrLogin)
		}
	}
	return nil
}

// age is negative where the clock was set back.
func (s *session) age(now time.Time) time.Duration { return now.Round(0).Sub(s.since.Round(0)) }

// Alive implements keeper.Session.
func (s *session) Alive(now time.Time) bool {
	age := s.age(now)
	return s.ttl == 0 || 0 <= age && age < s.ttl
}

// Fresh implements keeper.Session.
func (s *session) Fresh(now time.Time) bool {
	return s.Alive(now) && (s.ttl == 0 || s.age(now) < s.ttl-s.ttl/renewPart)
}

// tokens keeps one session for all requests.
type tokens struct {
	node   *Node
	kept   *keeper.Keeper[*session]
	logins uint64 // changed by the login that is under way alone
}

func newTokens(n *Node) *tokens {
	return &tokens{node: n, kept: keeper.New[*session](n.wall, fmt.Errorf("%w: it came to nothing", ErrLogin))}
}

// get returns a session to work with.
func (t *tokens) get(ctx context.Context) (*session, error) {
	return t.kept.Get(ctx, nil, func(ctx context.Context, _ *session) (*session, error) { return t.begin(ctx, false) })
}

// replace returns a session of a later login than the one that was not taken, or the same if that is final.
func (t *tokens) replace(ctx context.Context, refused *session) (*session, error) {
	if age := refused.age(t.node.wall()); refused.last && 0 <= age && age < refusalHolds {
		return refused, nil
	}
	return t.kept.Get(ctx, func(s *session) bool { return s.login <= refused.login },
		func(ctx context.Context, _ *session) (*session, error) { return t.begin(ctx, true) })
}

func (t *tokens) begin(ctx context.Context, last bool) (*session, error) {
	since := t.node.wall()
	token, ttl, err := t.node.login.begin(ctx, t.node)
	if err != nil {
		return nil, err
	}
	t.logins++
	return &session{token: token, since: since, ttl: ttl, login: t.logins, last: last}, nil
}
