//go:build !unix

package proxytest

import (
	"net"
	"syscall"
	"testing"
)

func shared(string, string, syscall.RawConn) error { return nil }

func hold(t testing.TB, at *net.TCPAddr) string {
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return at.String() // that of a listener
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
