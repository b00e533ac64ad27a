package app

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// How many connections may be open: a multiple of the requests that are served at one time, since most are idle.
const (
	connectionsPerRequest = 4
	leastConnections      = 64
	// ownDescriptors are left to the vault, the logs and the connections to upstreams. Whoever hoards connections must not
	// keep the audit log from beginning a new file.
	ownDescriptors = 128
)

// maxConnections is how many connections one listener may have open.
func (s *Server) maxConnections() int {
	each := connectionsPerRequest
	if s.app.options.Beside != nil {
		each = 1 // one client, whose memory ours is: what it sends by halves is kept nowhere else
	}
	wanted := max(leastConnections, each*int(s.app.inFlight.Load()))
	if s.descriptors == 0 || wanted <= s.descriptors {
		return wanted
	}
	s.few.Do(func() {
		s.app.log.Warn("the limit of open files permits fewer connections than limits.max_in_flight; raise it (ulimit -n)",
			"connections", s.descriptors, "wanted", wanted)
	})
	return s.descriptors
}

// connectionsEach shares what the process may open, 0 being no limit, between the listeners.
func connectionsEach(descriptors, listeners int) int {
	if descriptors == 0 {
		return 0
	}
	return max(1, (descriptors-min(ownDescriptors, descriptors/2))/listeners)
}

// boundListener bounds the open connections. At the bound a new one takes the place of the one that has been idle
// longest, so that whoever hoards connections does not keep others out; where none is idle the new one is closed at once.
// A connection is idle until its first request has arrived, and between two.
type boundListener struct {
	net.Listener
	most func() int
	log  *slog.Logger

	mu     sync.Mutex
	open   int
	idle   link      // the ring of idle connections; the longest idle comes next
	era    uint64    // counts retirements
	warned time.Time // when it was last said that the bound is reached
}

// boundConn is one open connection. What stands below from is guarded by its mu.
type boundConn struct {
	net.Conn
	from *boundListener
	era  uint64 // of from, when it was accepted
	idle link   // in no ring while it is not
	gone bool   // it counts no more
}

// link is a place in a ring. Whatever is done to it takes the same time however long the ring is.
type link struct {
	prev, next *link
	conn       *boundConn // nil where the ring begins
}

// join puts n where the ring ends.
func (n *link) join(ring *link) {
	n.leave()
	n.prev, n.next = ring.prev, ring
	n.prev.next, ring.prev = n, n
}

func (n *link) leave() {
	if n.next != nil {
		n.prev.next, n.next.prev = n.next, n.prev
		n.prev, n.next = nil, nil
	}
}

func newBoundListener(ln net.Listener, most func() int, log *slog.Logger) *boundListener {
	l := &boundListener{Listener: ln, most: most, log: log}
	l.idle.prev, l.idle.next = &l.idle, &l.idle
	return l
}

// Accept implements net.Listener.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		b := &boundConn{Conn: c, from: l}
		b.idle.conn = b
		victim, ok := l.admit(b)
		if victim != nil {
			_ = victim.Close()
		}
		if ok {
			return b, nil
		}
		_ = c.Close()
	}
}

// admit enters b, in the place of the victim where there is one.
func (l *boundListener) admit(b *boundConn) (victim *boundConn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.most() {
		if time.Since(l.warned) > time.Minute {
			l.warned = time.Now()
			l.log.Warn("as many connections are open as may be; idle ones are closed for new ones", "open", l.open)
		}
		if victim = l.idle.next.conn; victim == nil {
			return nil, false // every one is in use
		}
		l.forgetLocked(victim)
	}
	l.open++
	b.era = l.era
	b.idle.join(&l.idle) // no request has come yet
	return victim, true
}

func (l *boundListener) forgetLocked(c *boundConn) {
	if !c.gone {
		c.gone = true
		c.idle.leave()
		l.open--
	}
}

// retire closes the connections that are open: idle ones now, those in use after their answer.
func (l *boundListener) retire() {
	var idle []*boundConn
	l.mu.Lock()
	l.era++
	for c := l.idle.next.conn; c != nil; c = l.idle.next.conn {
		l.forgetLocked(c)
		idle = append(idle, c)
	}
	l.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	c.from.mu.Lock()
	c.from.forgetLocked(c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// connState is the http.Server's hook that says which connections are idle: those between two requests.
func (l *boundListener) connState(c net.Conn, s http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	b, ok := c.(*boundConn)
	if !ok || s != http.StateIdle && s != http.StateActive {
		return
	}
	l.mu.Lock()
	retired := s == http.StateIdle && b.era != l.era
	switch {
	case s == http.StateActive:
		b.idle.leave()
	case !retired && !b.gone:
		b.idle.join(&l.idle)
	}
	l.mu.Unlock()
	if retired {
		_ = b.Close()
	}
}
