package jwks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

const (
	maxLocationBytes = 2048
	wellKnown        = "/.well-known/openid-configuration"
)

// parseLocation reads a URL that keys may be fetched from. It may have a query, as those of some issuers do.
func parseLocation(raw string, private bool) (*url.URL, error) {
	if len(raw) > maxLocationBytes {
		return nil, fmt.Errorf("the URL is longer than %d bytes", maxLocationBytes)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, errors.New("the URL has spaces, control characters, backslashes or characters that are not ASCII: write a host as its xn-- name, the rest with % escapes")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "https":
		return nil, errors.New("the URL must begin with https://")
	case u.User != nil:
		return nil, errors.New("the URL must not hold a user name or password")
	case strings.Contains(raw, "#"):
		return nil, errors.New("the URL must not have a fragment")
	case u.Port() != "" && u.Port() != "443" && !private, strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("the URL must not have a port, unless allow_private says that it is one of our own")
	}
	return u, checkHost(u.Hostname(), private)
}

// checkHost takes the names of hosts (RFC 1123 section 2.1).
func checkHost(host string, private bool) error {
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch _, err := netip.ParseAddr(host); {
	case err == nil && private && !strings.Contains(host, "%"):
		return nil
	case err == nil, last != "" && '0' <= last[0] && last[0] <= '9':
		// Resolvers also read 127.1, 2130706433 and 0x7f.1 as addresses. No top-level domain begins with a digit.
		return errors.New("the URL must name its host, unless allow_private says that it is one of our own: an address is not taken")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("the URL has no good host name")
		}
	}
	return nil
}

// discoveryOf is where the discovery document of an issuer is (OpenID Connect Discovery 1.0 section 4.1).
func discoveryOf(issuer string, private bool) (*url.URL, error) {
	if strings.ContainsAny(issuer, "?#") {
		return nil, errors.New("the URL of an issuer must not have a query or fragment")
	}
	if _, err := parseLocation(issuer, private); err != nil {
		return nil, err
	}
	return url.Parse(strings.TrimSuffix(issuer, "/") + wellKnown)
}

// keysOf reads where the keys are from a discovery document (section 4.2). The errors quote nothing of it.
func keysOf(document []byte, issuer string, at *url.URL, private bool) (*url.URL, error) {
	root, err := strictjson.Parse(document, strictjson.Limits{Bytes: identity.MaxKeySetBytes, Depth: 16, Nodes: 16 << 10})
	if err != nil {
		return nil, err
	}
	if iss, ok := root.Get("issuer").Str(); !ok || iss != issuer {
		return nil, errors.New("it is not for this issuer")
	}
	raw, ok := root.Get("jwks_uri").Str()
	if !ok {
		return nil, errors.New("it has no jwks_uri")
	}
	u, err := parseLocation(raw, private)
	if err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	if hostAndPort(u) != hostAndPort(at) {
		return nil, errors.New("jwks_uri is on another host than the issuer: if that is meant, say so with jwks_uri in the configuration")
	}
	return u, nil
}

func hostAndPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return strings.ToLower(u.Hostname()) + " " + port
}
