package trust

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const (
	maxLocationBytes = 2048
	wellKnown        = "/.well-known/openid-configuration"
)

// ParseLocation reads a URL that keys may be fetched from; private says that the rule has allow_private. It may have a
// query, as those of some issuers do.
func ParseLocation(raw string, private bool) (*url.URL, error) {
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

// DiscoveryOf is where the discovery document of an issuer is (OpenID Connect Discovery 1.0 section 4.1).
func DiscoveryOf(issuer string, private bool) (*url.URL, error) {
	if strings.ContainsAny(issuer, "?#") {
		return nil, errors.New("the URL of an issuer must not have a query or fragment")
	}
	if _, err := ParseLocation(issuer, private); err != nil {
		return nil, err
	}
	return url.Parse(strings.TrimSuffix(issuer, "/") + wellKnown)
}

// checkLocations says which issuers have their keys where none are fetched from. What a name leads to is looked at when
// they are fetched.
func (s *Set) checkLocations() (errs Errors) {
	for _, i := range s.issuers {
		if i.Assertion {
			continue
		}
		at, suffix := key("issuer"), "; or say with jwks_uri where its keys are"
		_, err := DiscoveryOf(i.Issuer, i.AllowPrivate)
		if i.JWKSURI != "" {
			at, suffix = key("jwks_uri"), ""
			_, err = ParseLocation(i.JWKSURI, i.AllowPrivate)
		}
		if err == nil {
			continue
		}
		place := slices.IndexFunc(s.rules, func(r rule) bool { return r.Issuer == i.Issuer && r.JWKSURI == i.JWKSURI })
		if r := s.rules[place]; r.Template != "" && i.JWKSURI == "" {
			at = key("with")
		}
		errs = append(errs, &Error{Index: place, Rule: s.rules[place].Name, Key: at, Msg: err.Error() + suffix})
	}
	return errs
}
