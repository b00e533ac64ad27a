package main_test

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Without a terminal SIGHUP is somebody who asks to reload.
func TestDevReloads(t *testing.T) {
	p := dev(t, t.TempDir())
	if err := p.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, p, taken, 1)
	if code := p.Stop(t); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

// In a terminal too, but when that is closed, the server ends in order.
func TestDevEndsWithItsTerminal(t *testing.T) {
	dir := t.TempDir()
	master, slave := terminal(t)
	cmd := exec.Command(bin, "dev", "--dir", dir, "--listen", "127.0.0.1:0")
	log := &proxytest.Buffer{}
	cmd.Stdin, cmd.Stderr = slave, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // stdin is its terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for deadline := time.Now().Add(proxytest.Patience); ; time.Sleep(10 * time.Millisecond) {
		if _, ok, err := devdir.Find(dir); err == nil && ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not start\n%s", log.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitText(t, log, taken, 1)
	_ = master.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("got %v, want an orderly end\n%s", err, log.String())
		}
	case <-time.After(proxytest.Patience):
		t.Fatalf("the server goes on without its terminal\n%s", log.String())
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir, "--require-seal")
}

// terminal makes a pseudo terminal (pty(7)).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this system has no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
