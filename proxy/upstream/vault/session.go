package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
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
	// vouched: asked about it once, the vault knew it. So it may ask, and can find out later whether it lives.
	vouched bool
}

// refusalHolds is how long after a new login a refusal is final without another. A caller who keeps asking for
// what we may not read must not make a login of each question.
const refusalHolds = 10 * time.Second

// voucherHolds is how long it is taken for granted that a session lives which the vault was asked about.
const voucherHolds = time.Second

// header carries the token. Strings cannot be wiped, so it is made for one request.
func (s *session) header() (http.Header, error) {
	token := s.token.Reveal()
	if !keeper.IsToken(token) {
		return nil, fmt.Errorf("%w: the token has a byte that no token has", ErrLogin)
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
	asked  atomic.Pointer[voucher]
}

// voucher is the vault's word that it knew the session of a login at that time.
type voucher struct {
	login uint64
	at    time.Time
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
		if lives, err := t.lives(ctx, refused, now); lives || err != nil {
			return refused, err
		}
	}
	return t.kept.Get(ctx, func(s *session) bool { return s.login <= refused.login },
		func(ctx context.Context, s *session) (*session, error) { return t.begin(ctx, s, true) })
}

// lives reports whether the vault refuses what is asked, and not the token: that may have been revoked since. Of one that
// may not look itself up nobody can tell, and what was so at its beginning is taken to be so still.
func (t *tokens) lives(ctx context.Context, s *session, now time.Time) (bool, error) {
	if !s.vouched {
		return true, nil
	}
	if v := t.asked.Load(); v != nil && v.login == s.login && now.Sub(v.at).Abs() < voucherHolds {
		return true, nil
	}
	switch err := s.known(ctx, t.wire); {
	case err == nil:
		t.asked.Store(&voucher{s.login, now})
		return true, nil
	case errors.Is(err, ErrLogin):
		return false, nil
	default:
		return false, err
	}
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
	if last && !begun.vouched {
		begun.vouched = begun.known(ctx, t.wire) == nil
	}
	return begun, nil
}
