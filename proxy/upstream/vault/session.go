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
	token     secret.Value
	since     time.Time     // by the wall clock, before it was asked for
	ttl       time.Duration // 0: it does not end
	renewable bool
	login     uint64 // which login it comes from, renewals included
	// last: it was made because the vault refused the one before. If it is refused at once as well, that is meant.
	last bool
}

// Times of a session.
const (
	// renewPart is the part of its life that is left when a token is renewed: a fifth.
	renewPart = 5
	// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
	// what we may not read must not make a login of each question.
	refusalHolds = 10 * time.Second
)

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
	if now := t.wall(); refused.last && 0 <= refused.age(now) && refused.age(now) < refusalHolds {
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
		if err == nil && renewed.ttl > s.ttl-s.age(asked)+s.ttl/renewPart/2 {
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
