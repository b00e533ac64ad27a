package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// raw opens a connection to the server for bytes that no client sends.
func raw(t *testing.T, p *proxytest.Process) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.Server.Native, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(proxytest.Patience))
	return conn, bufio.NewReader(conn)
}

// say sends text and returns the first line of what comes back.
func say(t *testing.T, conn net.Conn, in *bufio.Reader, text string) string {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatalf("got %q (%v)", line, err)
	}
	return strings.TrimSpace(line)
}

// A write that is under way when the server is told to stop is finished, answered, and there after the next start.
func TestAnInterruptLetsWritesFinish(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "write:web/production/*"})
	conn, in := raw(t, p)
	body := `{"value":"written while stopping"}`
	// The server asks for the body when the request has reached the one who reads it.
	got := say(t, conn, in, fmt.Sprintf("PUT /v1/secrets/web/production/SLOW HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", token, len(body)))
	if !strings.Contains(got, " 100 ") {
		t.Fatalf("got %q, want to be asked for the body", got)
	}
	if _, err := io.WriteString(conn, body[:10]); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- p.Stop(t) }()
	for deadline := time.Now().Add(proxytest.Patience); ; time.Sleep(10 * time.Millisecond) {
		other, err := net.Dial("tcp", strings.TrimPrefix(p.Server.Native, "http://"))
		if err != nil {
			break // the server is stopping: nobody else is let in
		}
		_ = other.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server goes on taking connections")
		}
	}
	if _, err := in.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	if got := say(t, conn, in, body[10:]); !strings.HasPrefix(got, "HTTP/1.1 201 ") {
		t.Errorf("got %q, want 201", got)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	dev(t, dir)
	if got, _ := keyhole(t, 0, "", "get", "web/production/SLOW", "--dir", dir); got != "written while stopping" {
		t.Errorf("after the next start: got %q", got)
	}
}

// "OPTIONS *" asks the whole server, and the whole server has nothing to say.
func TestOptionsOfTheServer(t *testing.T) {
	p := dev(t, t.TempDir())
	conn, in := raw(t, p)
	if got := say(t, conn, in, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("got %q, want 404", got)
	}
}
