package vault

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/keeper"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// session is a token that the vault gave or knows. It does not change.
type session struct {
	keeper.Life

	token     secret.Value
	renewable bool
	login     uint64 // which login it comes from, renewals included
	// last: it was made because the vault refused the one before. If it is refused at once as well, that is meant.
	last bool
}

// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
// what we may not read must not make a login of each question.
const refusalHolds = 10 * time.Second

// header carries the token. Strings cannot be wiped, so it is made for one request.
func (s *session) header() (http.Header, error) {
	token := s.token.Reveal()
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return nil, fmt.Errorf("%w: the token has a byte that no token has", ErrLogin)
		}
	}
	return http.Header{"X-Vault-Token": {string(token)}}, nil
}

// tokens keeps one session alive for all requests.
type tokens struct {
	wire   *vaultWire
	login  Login
	wall   func() time.Time
	kept   *keeper.Keeper[*session]
	logins uint64 // changed by the login that is under way alone
}

func newTokens(w *vaultWire, login Login, wall func() time.Time) *tokens {
	return &tokens{wire: w, login: login, wall: wall, kept: keeper.New[*session](wall, fmt.Errorf("%w: it came to nothing", ErrLogin))}
}

// get returns a session to work with.
func (t *tokens) get(ctx context.Context) (*session, error) {
	return t.kept.Get(ctx, nil, func(ctx context.Context, s *session) (*session, error) { return t.begin(ctx, s, false) })
}

// replace returns a session of a later login than the one that the vault refused, or the same if its refusal is final.
func (t *tokens) replace(ctx context.Context, refused *session) (*session, error) {
	if now := t.wall(); refused.last && 0 <= refused.Age(now) && refused.Age(now) < refusalHolds {
		return refused, nil
	}
	return t.kept.Get(ctx, func(s *session) bool { return s.login <= refused.login },
		func(ctx context.Context, s *session) (*session, error) { return t.begin(ctx, s, true) })
}

// begin makes a session: s renewed where it lives and can be, or else a new login.
func (t *tokens) begin(ctx context.Context, s *session, last bool) (*session, error) {
	if s != nil && s.renewable {
		asked := t.wall()
		renewed, err := s.renew(ctx, t.wire, asked)
		// Near the end of its greatest life a renewal adds little: then it is time for another token.
		if err == nil && renewed.TTL > s.TTL-s.Age(asked)+s.TTL/keeper.RenewPart/2 {
			renewed.login = s.login
			return renewed, nil
		}
	}
	begun, err := t.login.begin(ctx, t.wire, t.wall())
	if err != nil {
		return nil, err
	}
	t.logins++
	begun.login, begun.last = t.logins, last
	return begun, nil
}
