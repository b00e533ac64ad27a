package jwks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// errAddress means that a name of the issuer leads to an address that is not taken: where it is meant to, allow_private
// takes loopback and private ones.
var errAddress = errors.New("refused to connect to an address that is not public")

// control looks at the address of a connection before it is made: after the name was resolved, so that no name, and no
// change of what it resolves to, leads anywhere else.
func control(private bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !taken(to.Addr(), private) {
			return fmt.Errorf("%w: %s", errAddress, address)
		}
		return nil
	}
}

// taken reports whether connections to the address are allowed. An IPv4 address is the same in whichever IPv6 form it
// comes.
func taken(a netip.Addr, private bool) bool {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if in(privateNets, a) {
		return private && !in(metadata, a)
	}
	return (a.Is4() || globalUnicast.Contains(a)) && !in(reserved, a)
}

func in(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// The registries of special-purpose addresses (RFC 6890 and its successors) name these.
var (
	privateNets = prefixes(
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
		"100.64.0.0/10", // shared by customers of a carrier (RFC 6598)
		"::1/128", "fc00::/7",
	)
	// metadata are services of clouds that are not link-local, but in the place of private addresses.
	metadata = prefixes("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32")
	reserved = prefixes(
		"0.0.0.0/8",      // this host
		"169.254.0.0/16", // link-local: metadata services
		"192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15",
		"192.88.99.0/24", // 6to4 relays
		"224.0.0.0/3",    // multicast, reserved, broadcast

		"2001::/23",     // protocol assignments: Teredo, which embeds IPv4, ORCHID
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4 embeds IPv4
		"3fff::/20",     // documentation
	)
	// Outside of it are link-local, multicast and unspecified addresses, translations for local use (RFC 8215) and those
	// that no one has yet.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 embeds IPv4 (RFC 6052): on networks without IPv4 every such host has an address in it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
