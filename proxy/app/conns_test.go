package app_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const leastConnections = 64

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(proxytest.Patience))
	return c
}

// ask sends one request and reports whether it was answered.
func ask(c net.Conn) bool {
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: k\r\n\r\n")); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == 200
}

func closed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil && !strings.Contains(err.Error(), "timeout")
}

// Idle connections, however many, keep nobody out: the one that has been idle longest makes room.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 1}\n"})
	address := listening(t, s).NativeAddr().String()
	var idle []net.Conn
	for i := range leastConnections {
		c := dial(t, address)
		if !ask(c) {
			t.Fatalf("connection %d is not answered", i)
		}
		idle = append(idle, c)
	}
	const late = 3
	for range late {
		if !ask(dial(t, address)) {
			t.Error("a new connection is not answered")
		}
	}
	// Each new one took the place of an old one, not of another new one. Which of the old ones has been idle longest is for
	// the server to say.
	gone := 0
	for _, c := range idle {
		if !ask(c) {
			gone++
		}
	}
	if gone != late {
		t.Errorf("%d of the idle connections were closed, want %d", gone, late)
	}
}

// Connections in use are never closed for new ones; those are closed instead.
func TestConnectionsAreBounded(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 1}\n"})
	address := listening(t, s).NativeAddr().String()
	var busy []net.Conn
	for range leastConnections {
		c := dial(t, address)
		if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: k\r\n")); err != nil { // and no end
			t.Fatal(err)
		}
		busy = append(busy, c)
	}
	if c := dial(t, address); !closed(c) {
		t.Error("one connection too many is open")
	}
	_ = busy[1].Close() // in the middle of its request
	for deadline := time.Now().Add(proxytest.Patience); !ask(dial(t, address)); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed connection is not free")
		}
	}
	if _, err := busy[0].Write([]byte("\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(busy[0]), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("a connection in use was closed: %v", err)
	}
	_ = resp.Body.Close()
}
