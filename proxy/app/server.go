package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/httpapi"
)

// Timeouts of the listeners. A request has requestTimeout to arrive whole; its answer has as long again.
const (
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = 10 * time.Second
	idleTimeout       = 120 * time.Second
	drainTimeout      = 15 * time.Second
)

const nativeKey = "listen.native"

// Server is the listeners of a running app.
type Server struct {
	app     *App
	servers []*http.Server
	lns     []net.Listener
	native  net.Listener // nil where it is off, which it never is in a server of its own
	admin   net.Listener // nil where it is off
	aws     net.Listener // nil where it is off

	underway    *underway
	descriptors int // connections that each listener has descriptors for; 0: no limit
	few         sync.Once
}

// Listen opens every configured listener, so that a port in use is an error before anything is served.
func (a *App) Listen() (*Server, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.config.Listen
	if err := a.checkListen(l); err != nil {
		return nil, err
	}
	listeners := 0
	for _, address := range []string{l.Native.Address, l.Admin, l.AWS.Address} {
		if address != "" {
			listeners++
		}
	}
	s := &Server{app: a, underway: newUnderway(), descriptors: connectionsEach(descriptors(), listeners)}
	if l.Native.TLS != nil {
		c, err := a.builder(a.config).serverTLS()
		if err != nil {
			return nil, fmt.Errorf("listen.native.tls: %w", err)
		}
		a.tls.Store(c)
	}
	var err error
	if l.Native.Address != "" {
		if s.native, err = s.open(nativeKey, l.Native.Address, a.nativeHandler()); err != nil {
			return nil, err
		}
	}
	if l.Admin != "" {
		if s.admin, err = s.open("listen.admin", l.Admin, a.admin()); err != nil {
			s.close()
			return nil, err
		}
	}
	if l.AWS.Address != "" {
		if s.aws, err = s.open("listen.aws", l.AWS.Address, a.awsHandler()); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) open(key, address string, h http.Handler) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: listening on %s: %w; stop what holds it or choose another address", key, address, err)
	}
	bound := newBoundListener(ln, s.maxConnections, s.app.log)
	ln = bound
	if key == nativeKey && s.app.tls.Load() != nil {
		s.app.native = bound
		ln = tls.NewListener(ln, s.app.listenerTLS())
	}
	s.lns = append(s.lns, ln)
	s.servers = append(s.servers, &http.Server{
		ConnState: bound.connState,
		Handler:   s.underway.count(h),
		// "OPTIONS *" is an unknown route like any other.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  requestTimeout,
		WriteTimeout:                 2 * requestTimeout,
		IdleTimeout:                  idleTimeout,
		// net/http adds 4 KiB to what it is told.
		MaxHeaderBytes: httpapi.MaxHeaderBytes - 4<<10,
		ErrorLog:       slog.NewLogLogger(s.app.log.Handler(), slog.LevelDebug),
	})
	return ln, nil
}

// NativeAddr is where the native API answers.
func (s *Server) NativeAddr() net.Addr { return s.native.Addr() }

// NativeURL is where this machine reaches the native API, "" where it is off: over HTTPS where the listener has a
// certificate.
func (s *Server) NativeURL() string {
	if s.native != nil && s.app.tls.Load() != nil {
		return "https://" + reachable(s.native.Addr())
	}
	return plainURL(s.native)
}

// AdminURL is where this machine reaches the admin listener, "" where it is off.
func (s *Server) AdminURL() string { return plainURL(s.admin) }

// AWSURL is where this machine reaches the AWS dialect, "" where it is off.
func (s *Server) AWSURL() string { return plainURL(s.aws) }

func plainURL(ln net.Listener) string {
	if ln == nil {
		return ""
	}
	return "http://" + reachable(ln.Addr())
}

// reachable is an address to dial: what listens on all addresses is on loopback too.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(t.Port))
	}
	return a.String()
}

// Serve answers until ctx is done, then lets the requests under way finish and returns nil. Those that take too long lose
// their connections, and are recorded all the same. It closes the listeners, not the app.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, len(s.servers))
	for i, srv := range s.servers {
		go func() { failed <- srv.Serve(s.lns[i]) }()
	}
	var err error
	running := len(s.servers)
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	patience := drainTimeout
	if s.app.options.Beside != nil {
		patience = besideDrain
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for _, srv := range s.servers {
		if e := srv.Shutdown(drain); e != nil {
			// Whoever has not read the answer by now loses the connection.
			err = errors.Join(err, srv.Close())
		}
	}
	for range running {
		<-failed
	}
	recorded, end := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer end()
	s.underway.wait(recorded)
	return err
}

// Close closes the listeners of a server that is not going to serve.
func (s *Server) Close() error {
	s.close()
	return nil
}

func (s *Server) close() {
	for _, ln := range s.lns {
		_ = ln.Close()
	}
}
