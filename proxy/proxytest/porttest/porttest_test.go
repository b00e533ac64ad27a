package porttest_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// A server may have the port, go away and have it again, beside no other.
func TestReserve(t *testing.T) {
	first, err := strconv.Atoi(porttest.ReserveTwo(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{porttest.Reserve(t), strconv.Itoa(first), strconv.Itoa(first + 1)} {
		address := net.JoinHostPort("127.0.0.1", port)
		if c, err := net.Dial("tcp", address); err == nil {
			t.Errorf("somebody listens on %s", address)
			_ = c.Close()
		}
		for range 3 {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if other, err := net.Listen("tcp", address); err == nil {
				t.Errorf("two have %s", address)
				_ = other.Close()
			}
			meet(t, l)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// meet has a connection come and go, of which the system keeps traces for a while.
func meet(t *testing.T, l net.Listener) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = served.Close(), c.Close()
}

// Whoever asks for any port, or connects somewhere, is not given a reserved one.
func TestNobodyElseHasIt(t *testing.T) {
	reserved := map[int]bool{}
	for range 200 {
		port, err := strconv.Atoi(porttest.Reserve(t))
		if err != nil {
			t.Fatal(err)
		}
		reserved[port] = true
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for range 300 { // of some 28,000 ports: without the reservation one of these would be met nearly always
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		for _, a := range []net.Addr{l.Addr(), c.LocalAddr()} {
			if reserved[a.(*net.TCPAddr).Port] {
				t.Fatalf("%s was given away", a)
			}
		}
	}
}
