package app_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
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
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
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

// The memory of a process beside a program is the program's: it keeps no more connections than it serves requests.
func TestConnectionsBesideAProgram(t *testing.T) {
	const most = leastConnections + 1
	_, l := besideProgram(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 65}\n"})
	var idle []net.Conn
	for i := range most + 1 {
		c := dial(t, l.NativeAddr().String())
		if !ask(c) {
			t.Fatalf("connection %d is not answered", i)
		}
		idle = append(idle, c)
	}
	gone := 0
	for _, c := range idle {
		if !ask(c) {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d of %d connections were closed, want 1", gone, len(idle))
	}
}

// Who has asked lately is idle for less time, however long the connection has been open.
func TestTheLongestIdleGoes(t *testing.T) {
	opened, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, state := app.BoundListener(opened, 4)
	idle := make(chan struct{}, 1)
	server := &http.Server{
		ReadHeaderTimeout: proxytest.Patience,
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ConnState: func(c net.Conn, s http.ConnState) {
			if state(c, s); s == http.StateIdle {
				idle <- struct{}{}
			}
		},
	}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	conns := make([]net.Conn, 8)
	askAs := func(i int) {
		t.Helper()
		if conns[i] == nil {
			conns[i] = dial(t, ln.Addr().String())
		}
		if !ask(conns[i]) {
			t.Fatalf("connection %d is not answered", i)
		}
		<-idle
	}
	for _, i := range []int{0, 1, 2, 3, 2, 0} {
		askAs(i)
	}
	for i, victim := range []int{1, 3, 2, 0} {
		askAs(4 + i)
		if !closed(conns[victim]) {
			t.Errorf("connection %d came, and %d, which had been idle longest, stayed", 4+i, victim)
		}
	}
}

// Connections in use are never closed for new ones; those are closed instead.
func TestConnectionsAreBounded(t *testing.T) {
	const most = 3
	opened, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, state := app.BoundListener(opened, most)
	entered, leave, gone := make(chan struct{}, most), make(chan struct{}), make(chan struct{}, most)
	server := &http.Server{
		ReadHeaderTimeout: proxytest.Patience,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			select {
			case <-leave:
			case <-r.Context().Done():
			}
		}),
		ConnState: func(c net.Conn, s http.ConnState) {
			if state(c, s); s == http.StateClosed {
				gone <- struct{}{}
			}
		},
	}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	begin := func() net.Conn {
		c := dial(t, ln.Addr().String())
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: k\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		<-entered
		return c
	}
	busy := []net.Conn{begin(), begin(), begin()}
	if c := dial(t, ln.Addr().String()); !closed(c) {
		t.Error("one connection too many is open")
	}
	_ = busy[1].Close() // in the middle of its request
	<-gone
	begin()
	close(leave)
	resp, err := http.ReadResponse(bufio.NewReader(busy[0]), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("a connection in use was closed: %v", err)
	}
	_ = resp.Body.Close()
}

// Neither do connections on which no request has come, or half of one, keep anybody out.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half a request": "GET /healthz HTTP/1.1\r\nHost: k\r\n"} {
		s := proxytest.NewServer(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 1}\n"})
		address := listening(t, s).NativeAddr().String()
		for range leastConnections {
			if _, err := dial(t, address).Write([]byte(sent)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if !ask(dial(t, address)) {
				t.Errorf("%s: a new connection is not answered", name)
			}
		}
	}
}

// Slow clients are given up: headers take 5 s at most, a request 10, its answer as long again, a pause 120.
func TestSlowClientsAreGivenUp(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	want := [4]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 120 * time.Second}
	all := listening(t, s).Timeouts()
	if len(all) != 2 {
		t.Fatalf("%d listeners", len(all))
	}
	for _, got := range all {
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
