package proxytest_test

import (
	"net"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func TestNobody(t *testing.T) {
	at := proxytest.Nobody(t)
	if c, err := net.Dial("tcp", at); err == nil {
		_ = c.Close()
		t.Errorf("somebody answers at %s", at)
	}
}

// While a server is down nobody answers in its place.
func TestPortOfAServerThatIsDown(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	p := proxytest.NewFaultProxy(t, target.Addr().String())
	for range 3 {
		p.Set(t, proxytest.Fault{Down: true})
		if c, err := net.Dial("tcp", p.Address); err == nil {
			_ = c.Close()
			t.Error("somebody answers")
		}
		p.Set(t, proxytest.Fault{})
		c, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}
