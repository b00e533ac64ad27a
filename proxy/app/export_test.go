package app

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// BoundListener bounds the connections of ln. The function is the hook of its http.Server.
func BoundListener(ln net.Listener, most int) (net.Listener, func(net.Conn, http.ConnState)) {
	l := newBoundListener(ln, func() int { return most }, slog.New(slog.DiscardHandler))
	return l, l.connState
}

// Timeouts are those of each listener: for headers, the whole request, the whole answer, and between two.
func (s *Server) Timeouts() (all [][4]time.Duration) {
	for _, h := range s.servers {
		all = append(all, [4]time.Duration{h.ReadHeaderTimeout, h.ReadTimeout, h.WriteTimeout, h.IdleTimeout})
	}
	return all
}

// Admin answers on the admin listener.
func (a *App) Admin() http.Handler { return a.admin() }

// HoldCopies keeps backups off as one that is under way does.
func (a *App) HoldCopies() (release func()) {
	a.copying.Lock()
	return a.copying.Unlock
}

// Within is h for requests that belong to invocations, which are told with the function.
func Within(h http.Handler, wall func() time.Time) (http.Handler, func(until time.Time)) {
	v := new(invocation)
	return v.within(h, wall), v.begin
}

// Handle has f answer a request of one of the listeners.
func (s *Server) Handle(f func()) {
	h := s.underway.count(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { f() }))
	h.ServeHTTP(nil, nil)
}
