package proxytest

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// Fault is what a FaultProxy does to connections.
type Fault struct {
	Down  bool          // nobody listens, and connections that were open are reset
	Hole  bool          // connections open, and nothing comes through them
	Lost  bool          // nothing comes through the connections that are open now, and whoever waits is not told; later ones work
	Delay time.Duration // each piece of an answer comes so much later
	Reset int           // a connection is reset after so many bytes of an answer; 0 never
}

// FaultProxy stands before a server on TCP and fails as networks and machines do. The zero Fault lets everything through.
type FaultProxy struct {
	Address string // HOST:PORT to reach the server at

	target string
	wg     sync.WaitGroup

	mu       sync.Mutex
	fault    Fault
	changed  chan struct{} // closed when fault is replaced
	listener net.Listener  // nil while Down
	conns    map[net.Conn]bool
	cuts     int // faults with Lost so far
	requests int
}

// Nobody is an address, HOST:PORT, where nobody listens until t ends, whatever else runs on the machine.
func Nobody(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + porttest.Reserve(t)
}

// NewFaultProxy runs a proxy before the server at target, HOST:PORT, until t ends.
func NewFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	p := &FaultProxy{target: target, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.Address = Nobody(t) // it is ours while we do not listen, too
	p.listen(t)
	t.Cleanup(func() {
		p.Set(t, Fault{Down: true})
		p.wg.Wait()
	})
	return p
}

// Set makes the proxy fail from now on, also on the connections that are open.
func (p *FaultProxy) Set(t testing.TB, f Fault) {
	t.Helper()
	p.mu.Lock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	if f.Lost {
		p.cuts++
	}
	down := p.listener == nil
	if f.Down && !down {
		_ = p.listener.Close()
		p.listener = nil
	}
	if f.Down {
		for c := range p.conns {
			reset(c)
		}
	}
	p.mu.Unlock()
	if down && !f.Down {
		p.listen(t)
	}
}

// Requests counts the GET requests that came by since it was last called: what began with a piece of its own, as
// HTTP/1.1 clients send it.
func (p *FaultProxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.requests
	p.requests = 0
	return n
}

func (p *FaultProxy) listen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
}

func (p *FaultProxy) serve(client net.Conn) {
	p.mu.Lock()
	cuts := p.cuts
	p.mu.Unlock()
	defer p.keep(client)()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.keep(server)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pass(server, client, p.asked)
		reset(server)
	}()
	sent := 0
	p.pass(client, server, func(piece []byte) bool { return p.answered(client, piece, &sent, cuts) })
	reset(client)
	<-done
}

// keep knows a connection until what it returns is called.
func (p *FaultProxy) keep(c net.Conn) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	if p.fault.Down {
		reset(c)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

// pass copies pieces for which may is true, until one side ends.
func (p *FaultProxy) pass(to, from net.Conn, may func([]byte) bool) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if !may(b[:n]) {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *FaultProxy) asked(piece []byte) bool {
	p.mu.Lock()
	if bytes.HasPrefix(piece, []byte("GET ")) {
		p.requests++
	}
	p.mu.Unlock()
	return true
}

// answered lets a piece of an answer pass. cuts is how many there had been when the connection was opened.
func (p *FaultProxy) answered(client net.Conn, piece []byte, sent *int, cuts int) bool {
	for {
		p.mu.Lock()
		f, changed, lost := p.fault, p.changed, p.cuts > cuts
		p.mu.Unlock()
		switch {
		case f.Hole, lost && !f.Down:
			<-changed
			continue
		case f.Delay > 0:
			select {
			case <-time.After(f.Delay):
			case <-changed:
			}
		case f.Reset > 0:
			if *sent += len(piece); *sent > f.Reset {
				_, _ = client.Write(piece[:max(0, len(piece)-(*sent-f.Reset))])
				return false
			}
		}
		return true
	}
}

// reset closes a connection without a goodbye.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
