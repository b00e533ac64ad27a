// Package porttest gives ports to tests that must name one before anybody listens on it: to a process that they start, or
// to a server that goes away and comes back.
package porttest

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// Reserve returns a port of 127.0.0.1 that the system gives to nobody else until t ends: whoever asks it for any port, or
// connects somewhere, gets another. Whoever names it may listen on it, as long as nobody does, and again later.
//
// That is what Linux does with a port to which a socket is bound that does not listen, where all that are bound to it have
// SO_REUSEADDR, as the listeners of Go, Node.js and most servers have.
func Reserve(t testing.TB) string {
	t.Helper()
	fd, port, err := bind(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	return strconv.Itoa(port)
}

// ReserveTwo is Reserve for a port and the one after it. It returns the first.
func ReserveTwo(t testing.TB) string {
	t.Helper()
	for range 100 {
		fd, port, err := bind(0)
		if err != nil {
			t.Fatal(err)
		}
		next, _, err := bind(port + 1)
		if err != nil {
			_ = syscall.Close(fd)
			continue
		}
		t.Cleanup(func() { _, _ = syscall.Close(fd), syscall.Close(next) })
		return strconv.Itoa(port)
	}
	t.Fatal("no two free ports beside each other")
	return ""
}

// bind makes a socket that has this port, 0 for any, and does not listen. Processes that are started do not inherit it.
func bind(port int) (fd, got int, err error) {
	syscall.ForkLock.RLock()
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, 0, os.NewSyscallError("socket", err)
	}
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, 0, fmt.Errorf("reserving port %d: %w", port, err)
	}
	return fd, name.(*syscall.SockaddrInet4).Port, nil
}
