package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
)

// ports looks whether the addresses are free, or the server's own.
func ports(ctx context.Context, p *patient) []Finding {
	var found []Finding
	for _, l := range []struct{ key, address, own string }{
		{"listen.native", p.Listen.Native.Address, p.server.Native},
		{"listen.admin", p.Listen.Admin, p.server.Admin},
		{"listen.aws", p.Listen.AWS.Address, p.server.AWS},
	} {
		if l.address != "" {
			found = append(found, port(ctx, p, l.key, l.address, l.own))
		}
	}
	if len(found) == 0 {
		found = append(found, warn("no address to listen on", "listen", "set listen.native"))
	}
	return found
}

func port(ctx context.Context, p *patient, key, address, own string) Finding {
	where := key + " " + address
	if own != "" {
		if sameAddress(address, own) {
			return ok(fmt.Sprintf("process %d serves it", p.server.PID), where)
		}
		return warn(fmt.Sprintf("process %d serves on %s", p.server.PID, own), where, "restart the server, unless it was started with --listen")
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		_ = ln.Close()
		return ok("free", where)
	}
	if p.pid > 0 && errors.Is(err, syscall.EADDRINUSE) {
		return warn(fmt.Sprintf("it is in use; process %d works here and does not say where it serves", p.pid), where, "look again when it has started")
	}
	fix := "choose another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		fix = "stop what listens there, or choose another address"
	case errors.Is(err, syscall.EACCES):
		fix = "take a port from 1024 on, or give the server the right to this one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		fix = "take an address that this machine has"
	}
	return fail(err.Error(), where, fix)
}

// sameAddress holds what is configured against the URL that the server tells of: any port is port 0, and what listens on
// all addresses tells of loopback.
func sameAddress(configured, own string) bool {
	u, err := url.Parse(own)
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(configured)
	if err != nil || port != "0" && port != u.Port() {
		return false
	}
	ip := net.ParseIP(host)
	return host == u.Hostname() || host == "" || host == "localhost" || ip != nil && ip.IsUnspecified()
}
