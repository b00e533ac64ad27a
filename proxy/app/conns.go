package app

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	wanted := max(leastConnections, connectionsPerRequest*int(s.app.inFlight.Load()))
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
	most  func() int
	start time.Time
	log   *slog.Logger
	era   atomic.Uint64 // counts retirements

	mu     sync.Mutex
	open   map[*boundConn]struct{}
	warned time.Duration // since start, when it was last said that the bound is reached
}

// boundConn is one open connection.
type boundConn struct {
	net.Conn
	from *boundListener
	era  uint64       // of from, when it was accepted
	idle atomic.Int64 // since start, when it became idle; 0 while it is not
	once sync.Once
}

func newBoundListener(ln net.Listener, most func() int, log *slog.Logger) *boundListener {
	return &boundListener{Listener: ln, most: most, start: time.Now(), log: log, open: map[*boundConn]struct{}{}, warned: -time.Hour}
}

// Accept implements net.Listener.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		b := &boundConn{Conn: c, from: l, era: l.era.Load()}
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
	if len(l.open) >= l.most() {
		if now := time.Since(l.start); now-l.warned > time.Minute {
			l.warned = now
			l.log.Warn("as many connections are open as may be; idle ones are closed for new ones", "open", len(l.open))
		}
		if victim = l.longestIdleLocked(); victim == nil {
			return nil, false // every one is in use, or the one that was not is again
		}
		delete(l.open, victim)
	}
	b.idle.Store(l.sinceStart()) // no request has come yet
	l.open[b] = struct{}{}
	return victim, true
}

func (l *boundListener) longestIdleLocked() (longest *boundConn) {
	since := int64(0)
	for c := range l.open {
		if idle := c.idle.Load(); idle > 0 && (longest == nil || idle < since) {
			longest, since = c, idle
		}
	}
	if longest != nil && !longest.idle.CompareAndSwap(since, 0) {
		return nil
	}
	return longest
}

// retire closes the connections that are open: idle ones now, those in use after their answer.
func (l *boundListener) retire() {
	l.era.Add(1)
	var idle []*boundConn
	l.mu.Lock()
	for c := range l.open {
		if since := c.idle.Load(); since > 0 && c.idle.CompareAndSwap(since, 0) {
			idle = append(idle, c)
		}
	}
	l.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	c.once.Do(func() {
		c.from.mu.Lock()
		delete(c.from.open, c)
		c.from.mu.Unlock()
	})
	return c.Conn.Close()
}

func (l *boundListener) sinceStart() int64 { return max(1, int64(time.Since(l.start))) }

// connState is the http.Server's hook that says which connections are idle: those between two requests.
func (l *boundListener) connState(c net.Conn, s http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	b, ok := c.(*boundConn)
	switch {
	case !ok:
	case s == http.StateIdle:
		b.idle.Store(l.sinceStart())
		if b.era != l.era.Load() {
			_ = b.Close()
		}
	case s == http.StateActive:
		b.idle.Store(0)
	}
}
