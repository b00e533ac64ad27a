package app

import (
	"log/slog"
	"net"
	"net/http"
)

// BoundListener bounds the connections of ln. The function is the hook of its http.Server.
func BoundListener(ln net.Listener, most int) (net.Listener, func(net.Conn, http.ConnState)) {
	l := newBoundListener(ln, func() int { return most }, slog.New(slog.DiscardHandler))
	return l, l.connState
}
