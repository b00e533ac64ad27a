package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// operator is a configuration that commands record with, their log, and that log as another command holds it.
func operator(t *testing.T) (c *config.Config, file string, held *audit.Log) {
	t.Helper()
	dir := t.TempDir()
	key, err := audit.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := audit.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.key"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "cli.jsonl")
	sink, err := audit.NewFileSink(audit.FileConfig{Path: file})
	if err != nil {
		t.Fatal(err)
	}
	if held, err = audit.New(audit.Config{Sink: sink, Key: key}); err != nil {
		t.Fatal(err)
	}
	c = &config.Config{Dir: dir}
	c.Audit.Key = config.Ref{Scheme: "file", Name: "audit.key", Private: true}
	return c, file, held
}

// Two commands at once are recorded one after the other. A command whose turn does not come, or who is asked to stop,
// changes nothing.
func TestCommandsTakeTurnsAtTheirLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, file, held := operator(t)
		changes, result := 0, make(chan error, 1)
		operate := func(ctx context.Context) {
			result <- app.Operate(ctx, c, os.Getenv, file, audit.ActionKeyRotate, func() (string, error) {
				changes++
				return "", nil
			})
		}
		operate(t.Context())
		if err := <-result; !errors.Is(err, audit.ErrInUse) {
			t.Errorf("a log that is never let go of: got %v, want ErrInUse", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go operate(ctx)
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("asked to stop: got %v, want Canceled", err)
		}
		if changes != 0 {
			t.Errorf("got %d changes without a record", changes)
		}
		go operate(t.Context())
		issued := make(chan error, 1)
		go func() { issued <- app.RecordIssued(t.Context(), c, os.Getenv, file, "read:**", "local") }()
		synctest.Wait()
		if err := held.Close(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(<-result, <-issued); err != nil || changes != 1 {
			t.Errorf("when the log is free: got %d changes and %v", changes, err)
		}
	})
}
