//go:build unix

package proxytest

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shared makes a listener's port one that hold holds beside it.
func shared(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}

// hold keeps a port, which is free or that of a shared listener, until t ends: no other program is given it. While nobody
// listens there, who connects is refused. Port 0 is any free one. It returns the address.
func hold(t testing.TB, at *net.TCPAddr) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())})
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	return (&net.TCPAddr{IP: at.IP, Port: name.(*unix.SockaddrInet4).Port}).String()
}
