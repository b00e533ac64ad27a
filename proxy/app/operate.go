package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// turnTimeout bounds the wait for another command to be done with the command line's log: a rotation that waits for its
// server is the longest.
const turnTimeout = 20 * time.Second

// Operate makes a change that an operator asked for beside the server, between its two records in the log at file, which
// is the command line's own: without the first one nothing is changed. what tells the second one what came of it.
func Operate(ctx context.Context, c *config.Config, getenv func(string) string, file, action string, change func() (what string, err error)) error {
	log, err := openLog(ctx, c, getenv, file)
	if err != nil {
		return fmt.Errorf("nothing is done without a record: %w", err)
	}
	intent := localRecord(c, audit.Intent, action, "")
	if err := log.Append(ctx, intent); err != nil {
		return errors.Join(fmt.Errorf("nothing is done without a record: %w", err), log.Close())
	}
	what, failed := change()
	done := localRecord(c, audit.Outcome, action, what)
	done.Pair, done.Result.Status = intent.ID, 200
	if failed != nil {
		done.Result = audit.Result{Status: api.Internal.Status(), Code: string(api.Internal)}
	}
	// It was done, or was not, whoever asked to stop meanwhile.
	return errors.Join(failed, log.Append(context.WithoutCancel(ctx), done), log.Close())
}

// openLog waits for its turn: a log has one writer, and a command keeps it until its change is recorded.
func openLog(ctx context.Context, c *config.Config, getenv func(string) string, file string) (*audit.Log, error) {
	text, err := c.Audit.Key.Resolve(c.Dir, getenv)
	if err != nil {
		return nil, fmt.Errorf("audit.key: %w", err)
	}
	defer clear(text)
	key, err := audit.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("audit.key: %w", err)
	}
	sink, err := audit.NewFileSink(audit.FileConfig{Path: file})
	if err != nil {
		return nil, err
	}
	turn := time.NewTimer(turnTimeout)
	defer turn.Stop()
	log, err := audit.New(audit.Config{Sink: sink, Key: key, Region: c.Region})
	for waiting := true; waiting && errors.Is(err, audit.ErrInUse); {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-turn.C:
			waiting = false
		case <-time.After(20 * time.Millisecond):
			log, err = audit.New(audit.Config{Sink: sink, Key: key, Region: c.Region})
		}
	}
	if err != nil {
		return nil, err
	}
	// What the administrator began must be there for the server's user to go on with.
	files, err := filepath.Glob(file + "*") // its lock too
	for _, f := range files {
		err = errors.Join(err, durable.Inherit(f, filepath.Dir(file)))
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// localRecord is the record of what the holder of the keys does.
func localRecord(c *config.Config, kind audit.Kind, action, reason string) *audit.Record {
	now := time.Now()
	return &audit.Record{
		ID: audit.NewID(now), Time: now, Kind: kind, Action: action,
		Principal: audit.Principal{Trust: "local", Issuer: c.Identity.Issuer, Subject: "local"},
		Via:       audit.Via{Surface: "cli"},
		Decision:  audit.Decision{Effect: policy.Allow.String(), Reason: reason},
	}
}
