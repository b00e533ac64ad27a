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
	keeper.Life

	token secret.Value
	login uint64 // which login it comes from
	// last: it was made because the one before was not taken. If it is not taken at once as well, that is meant.
	last bool
}

// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
// what we may not read must not make a login of each question.
const refusalHolds = time.Minute

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
	if !keeper.IsToken(token) {
		return fmt.Errorf("%w: the token has a byte that no token has", ErrLogin)
	}
	return nil
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
	if age := refused.Age(t.node.wall()); refused.last && 0 <= age && age < refusalHolds {
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
	return &session{token: token, Life: keeper.Life{Since: since, TTL: ttl}, login: t.logins, last: last}, nil
}
