//go:build !unix

package proxytest

import (
	"net"
	"syscall"
	"testing"
)

func shared(string, string, syscall.RawConn) error { return nil }

func hold(testing.TB, *net.TCPAddr) {}
