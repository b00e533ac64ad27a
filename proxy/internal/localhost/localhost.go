// Package localhost tells this machine from others: what is sent to it crosses no network, with TLS or without.
package localhost

import (
	"net/netip"
	"net/url"
)

// Is reports whether a host, a name or an address without a port, is this machine.
func Is(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Exposed reports whether what is sent to a URL of http or https can be read on the way: it crosses a network without TLS.
func Exposed(u *url.URL) bool { return u.Scheme == "http" && !Is(u.Hostname()) }
