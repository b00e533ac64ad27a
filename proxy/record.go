package proxy

import (
	"context"
	"log/slog"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// refuse records that the request ends with e and returns what the caller is told: e, or that the record failed.
func (p *Proxy) refuse(ctx context.Context, t *transaction, e *Error) error {
	t.rec.Result = audit.Result{Status: e.Code.Status(), Code: string(e.Code)}
	id, err := p.recordRefusal(ctx, t)
	if err != nil {
		return err
	}
	e.Decision = id
	p.logCause(ctx, levelRefused, "request refused", e)
	return e
}

// logCause tells the log what the caller is not told. An internal error is not left to the level debug: its message sends
// the caller here.
func (p *Proxy) logCause(ctx context.Context, level slog.Level, message string, e *Error) {
	switch {
	case e.Cause == nil:
		return
	case e.Code == api.Internal:
		level = levelFault
	}
	p.log.LogAttrs(ctx, level, message, attrs("decision", e.Decision, "code", string(e.Code), "error", e.Cause.Error())...)
}

// record appends the record of t and returns only once it is acknowledged.
func (p *Proxy) record(ctx context.Context, t *transaction) error {
	t.rec.Cache.Generation = p.fresh.generation()
	if err := p.audit.Append(ctx, &t.rec); err != nil {
		return p.unrecorded(ctx, t, err)
	}
	p.recorded(ctx)
	return nil
}

// recordRefusal is record for a request that gets nothing, and returns the ID of the record that tells of it. A flood of
// denials from one source is recorded as a count.
func (p *Proxy) recordRefusal(ctx context.Context, t *transaction) (id string, err error) {
	if s := t.rec.Result.Status; s != 401 && s != 403 && s != 429 {
		return t.rec.ID, p.record(ctx, t)
	}
	t.rec.Cache.Generation = p.fresh.generation()
	if id, err = p.audit.Refuse(ctx, &t.rec); err != nil {
		return "", p.unrecorded(ctx, t, err)
	}
	p.recorded(ctx)
	return id, nil
}

func (p *Proxy) unrecorded(ctx context.Context, t *transaction, err error) error {
	e := because(err)
	e.Decision = t.rec.ID
	if p.unheard.Add(1) == 1 { // the others are counted: each caller learns of its own
		p.log.LogAttrs(ctx, levelFault, "audit record not acknowledged, so nothing is released", attrs("decision", t.rec.ID, "error", err.Error())...)
	}
	return e
}

// recorded ends what unrecorded began.
func (p *Proxy) recorded(ctx context.Context) {
	if p.unheard.Load() == 0 {
		return
	}
	if n := p.unheard.Swap(0); n > 0 {
		p.log.LogAttrs(ctx, slog.LevelInfo, "audit records are acknowledged again", slog.Int64("refused", n))
	}
}
