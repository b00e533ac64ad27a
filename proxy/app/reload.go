package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

// ErrRestartNeeded is wrapped where a configuration changes what a running server cannot: restart it.
var ErrRestartNeeded = errors.New("restart needed")

// Reload takes policies, trust rules, keys, labels, hooks, limits, the log level and the listener's certificates from c, all of them or, on
// error, none. It reads and compiles beside what is in use and then replaces it at once: no request waits for it, fails
// by it, or is decided partly by the old and partly by the new. What else c changes is refused with ErrRestartNeeded.
// The change is recorded: its intent before, its outcome after.
func (a *App) Reload(ctx context.Context, c *config.Config) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.drivers.Unsupported(c); err != nil {
		return err
	}
	if err := restartNeeded(a.config, c); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	b := a.builder(c)
	var certificates *tls.Config
	if a.tls.Load() != nil {
		if certificates, err = b.serverTLS(); err != nil {
			return fmt.Errorf("listen.native.tls: %w", err)
		}
	}
	r, err := b.ruling(ctx)
	if err != nil {
		return err
	}
	if err := a.swap(ctx, r); err != nil {
		return errors.Join(err, r.discard(ctx, a))
	}
	if certificates != nil {
		old := a.tls.Swap(certificates)
		if a.native != nil && !old.ClientCAs.Equal(certificates.ClientCAs) {
			// Whoever an authority that is gone vouched for does not stay.
			a.native.retire()
		}
	}
	if a.options.Level != nil {
		a.options.Level.Set(level)
	}
	a.config = c
	return nil
}

// swap records the change and makes it. The old policies are closed when the last request that they decide has ended.
func (a *App) swap(ctx context.Context, r *ruling) error {
	ctx = context.WithoutCancel(ctx)
	rec := a.reloadRecord(audit.Intent, r)
	if err := a.audit.Append(ctx, rec); err != nil {
		return fmt.Errorf("recording the change: %w", err)
	}
	drained, err := a.Proxy.SetRules(r.rules)
	if err != nil {
		return err
	}
	a.publish(r)
	policy, from := a.policy, a.issuers
	a.policy, a.issuers = r.policy, r.issuers
	a.retiring.Go(func() { a.retire(policy, from, r.issuers, drained) })
	done := a.reloadRecord(audit.Outcome, r)
	done.Pair, done.Result.Status = rec.ID, 200
	if err := a.audit.Append(ctx, done); err != nil {
		// It is in force, as its intent says, and the audit log shows the pair as open.
		a.log.Error("the outcome of a reload could not be recorded", "error", err.Error())
	}
	return nil
}

func (a *App) reloadRecord(kind audit.Kind, r *ruling) *audit.Record {
	now := a.options.Wall()
	return &audit.Record{
		ID: audit.NewID(now), Time: now, Kind: kind, Action: audit.ActionReload, Principal: audit.Principal{Trust: "local"},
		Via:      audit.Via{Surface: "server"},
		Decision: audit.Decision{Effect: policy.Allow.String(), PolicyDigest: r.policy.Digest()},
	}
}

// retire closes what only the rules used that nobody asks any more, at the latest when the app is closed.
func (a *App) retire(policy *wasm.Chain, from, kept issuers, drained <-chan struct{}) {
	select {
	case <-drained:
	case <-a.closed:
	}
	if err := policy.Close(context.Background()); err != nil {
		a.log.Error("closing the policies that were replaced", "error", err.Error())
	}
	if err := from.closeBut(kept); err != nil {
		a.log.Error("closing the key sources that were replaced", "error", err.Error())
	}
}

// restartNeeded compares two configurations but for what a reload takes. It names the keys, so that one that is added to
// the document needs a restart until a reload takes it.
func restartNeeded(old, c *config.Config) error {
	kept := func(c config.Config) reflect.Value {
		c.Policy, c.Labels, c.Hooks, c.Limits, c.Log.Level = config.Policy{}, nil, nil, config.Limits{}, ""
		c.Identity.SigningKey, c.Identity.Keys, c.Identity.Trust = config.Ref{}, config.Ref{}, nil
		return reflect.ValueOf(c)
	}
	was, is := kept(*old), kept(*c)
	var changed []string
	for i := range was.NumField() {
		key := was.Type().Field(i).Tag.Get("key")
		if key != "" && !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			changed = append(changed, key)
		}
	}
	if len(changed) > 0 {
		return fmt.Errorf("%w: a running server cannot change %s", ErrRestartNeeded, strings.Join(changed, ", "))
	}
	return nil
}
