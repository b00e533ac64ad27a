package proxy

import (
	"context"
	"errors"
	"log/slog"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// outcome is what a change came to.
type outcome struct {
	version secret.Version // that is current now, "" after a deletion
	status  int            // that the caller gets
	mac     audit.MAC      // of the new value, if there is one
	intent  string         // ID of the decision and of the intent record
}

// change makes a change of an upstream and announces it, as pair does.
func (p *Proxy) change(ctx context.Context, t *transaction, m *mount, name string, apply func(context.Context) (outcome, error)) (outcome, error) {
	return p.pair(ctx, t, func(ctx context.Context) (outcome, error) {
		waiting, stop := sparing(ctx)
		done, err := apply(waiting)
		stop()
		if err == nil {
			return done, m.outbox.announce(ctx, name)
		}
		err = explained(err, secret.ErrConflict, secret.ErrTooLarge, secret.ErrInvalidSecret, secret.ErrUnsupported)
		if !unchanged(err) {
			m.outbox.forget(name)
		}
		return done, err
	})
}

// pair records the intent, applies the change, and records the outcome, which may be that it failed. Once the intent is
// recorded a caller who hangs up no longer stops it.
func (p *Proxy) pair(ctx context.Context, t *transaction, apply func(context.Context) (outcome, error)) (outcome, error) {
	if !p.room(t) {
		return outcome{}, p.refuse(ctx, t, overloaded())
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	intent := t.rec.ID
	t.rec.Kind = audit.Intent
	if err := p.record(ctx, t); err != nil {
		return outcome{}, err
	}

	waiting, stop := sparing(ctx)
	done, err := apply(waiting)
	stop()

	now := p.wall()
	t.rec.ID, t.rec.Time, t.rec.Kind, t.rec.Pair = audit.NewID(now), now, audit.Outcome, intent
	t.rec.Resource.Version = string(done.version)
	var refusal *Error
	if err != nil {
		refusal = because(err)
		refusal.Decision = intent
		t.rec.Result = audit.Result{Status: refusal.Code.Status(), Code: string(refusal.Code)}
	} else {
		t.rec.Result = audit.Result{Status: done.status, ValueMAC: done.mac}
	}
	if err := p.record(ctx, t); err != nil {
		e := because(err)
		e.Decision = intent
		e.Message = "the change was decided and may have been made, but its outcome could not be recorded; read it before trying again"
		return outcome{}, e
	}
	if refusal != nil {
		level := levelRefused
		if refusal.Code == api.StateUnavailable {
			level = slog.LevelWarn // unlike a read that fails, nobody has said so yet
		}
		p.logCause(ctx, level, "change failed", refusal)
		return outcome{}, refusal
	}
	done.intent = intent
	return done, nil
}

// unchanged reports whether a change that failed with err has not happened, so that what is cached still holds and the last
// good value stays, which is what an outage is survived with. Where it is false it may have happened all the same: a
// silent upstream may have made it, and one that denied it, or found it too large, may have done a part before.
func unchanged(err error) bool {
	return errors.Is(err, guard.ErrWithheld) || errors.Is(err, secret.ErrConflict) || errors.Is(err, secret.ErrUnsupported)
}
