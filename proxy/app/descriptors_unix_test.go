//go:build unix

package app_test

import (
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Connections leave descriptors to the rest of the program, however low their limit is.
func TestConnectionsAreBoundedByDescriptors(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	const limit = 160
	lowered := was
	lowered.Cur = limit
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lowered); err != nil {
		t.Skipf("the limit of open files cannot be lowered: %v", err)
	}
	var log proxytest.Buffer
	s := proxytest.NewServer(t, proxytest.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	address := listening(t, s).NativeAddr().String()
	// The test has its own end of each connection open as well.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	const each = limit / 2 / 2 // half of it is kept, and there are two listeners
	var open []net.Conn
	for i := range each + 1 {
		c := dial(t, address)
		if !ask(c) {
			t.Fatalf("connection %d is not answered", i+1)
		}
		open = append(open, c)
	}
	gone := 0
	for _, c := range open {
		if !ask(c) {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d of %d connections were closed for others, want one", gone, len(open))
	}
	if n := strings.Count(log.String(), "limit of open files"); n != 1 {
		t.Errorf("the log says %d times that there may be few, want once", n)
	}
}
