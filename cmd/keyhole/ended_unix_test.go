//go:build unix

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// A server that is told to end before it serves, here while a command has its directory, has not failed.
func TestToldToEndBeforeItServes(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, "")
	lock, err := devdir.TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	// Whoever reads the configuration has asked for signals before, so a pipe in its place tells when one can be sent.
	pipe := filepath.Join(dir, "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	said := &proxytest.Buffer{}
	cmd := exec.CommandContext(t.Context(), bin, "serve", "--config", pipe)
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	opened := make(chan *os.File, 1)
	go func() {
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		opened <- w
	}()
	select {
	case w := <-opened:
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		_, _ = w.Write(read(t, filepath.Join(dir, devdir.ConfigFile)))
		_ = w.Close()
	case err := <-ended:
		t.Fatalf("it has ended before it read its configuration: %v\n%s", err, said)
	}
	select {
	case err := <-ended:
		if err != nil || said.String() != "" {
			t.Errorf("got %v and %q, want no failure and no word", err, said)
		}
	case <-time.After(proxytest.Patience):
		t.Errorf("it does not end\n%s", said)
	}
}
