// Package keyhole reads the secrets of another Keyhole by its native API, as an extension reads those of its region.
//
// Its laws:
//   - New asks nothing of the network. The first request logs in; a token that nears its end is replaced by the request
//     that finds it so, and by one request at a time. Nothing runs in the background, and age is measured by the wall
//     clock, so that a process that was frozen notices.
//   - A value is never made younger than the other node says (secret.Secret.Age), and what is stale there is stale here.
//   - "No such secret" (secret.ErrNotFound) and "denied" (secret.ErrDenied) are said only in the other node's own words:
//     its status and its error code together. A failed login, a page of a gateway and whatever cannot be understood is a
//     failure (secret.ErrUnavailable), for a cached value must survive it. That its own vault fails it is
//     secret.ErrUnreadable: it is well itself.
//   - A 401 is answered with one new login, and so is a refusal, but for that of who or what is revoked. Refusals that
//     follow at once cost no more logins.
//   - The token goes to the configured address only, by TLS unless that is this machine: redirects are not followed,
//     proxies of the environment not used.
//   - Where it asks to wait, with 429 or 503, it is left alone that long.
//   - Answers are bounded before they are parsed, and parsed strictly. Values are bytes from the socket on; what held
//     them on the way is wiped. No error quotes an answer: of an error its code is told, if it is one of ours.
//
// Versions, times and metadata are what the other node tells. It is not written to.
package keyhole

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/listing"
	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Config says which node to ask, and as whom.
type Config struct {
	// Address is the URL of its native API: https, or http where that is this machine, with the path that precedes "/v1/"
	// where a gateway adds one.
	Address string
	// Insecure lets the address be http on another machine, where tokens and secrets can be read on the way.
	Insecure bool
	// Login makes tokens.
	Login Login
	// CA is the authorities that may have signed its certificate, PEM; empty means those of the system.
	CA []byte
	// Wall measures the age of tokens and of idle connections; nil is time.Now.
	Wall func() time.Time
	// Logger hears of an address without TLS; nil discards.
	Logger *slog.Logger
}

// Node is an upstream that is a secret.Lister, secret.Versioner, secret.OrderedVersions and secret.Checker.
type Node struct {
	wire   *wire.Wire
	base   string // without a slash at its end
	login  Login
	tokens *tokens
	names  listing.Lister
	pause  pause // of reads
	grants pause // of logins: who has a token can do without
	wall   func() time.Time
}

// New returns the upstream.
func New(c Config) (*Node, error) {
	base, err := c.base()
	if err != nil {
		return nil, fmt.Errorf("keyhole: %w", err)
	}
	if c.Login.begin == nil {
		return nil, errors.New("keyhole: there is no login")
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	w, err := wire.New(wire.Config{CA: c.CA, Wall: c.Wall})
	if err != nil {
		return nil, fmt.Errorf("keyhole: %w", err)
	}
	if c.Logger != nil && localhost.Exposed(base) {
		c.Logger.Warn("a Keyhole is reached without TLS: tokens and secrets can be read on the way", "address", base.String())
	}
	n := &Node{wire: w, base: base.String(), login: c.Login, wall: c.Wall}
	n.tokens = newTokens(n)
	n.names.Wall, n.names.Fetch = c.Wall, n.fetch
	return n, nil
}

// base is the address without the slash at its end.
func (c *Config) base() (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(c.Address, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the address is no URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.RawQuery != "" || u.ForceQuery, u.Fragment != "":
		return nil, errors.New("the address must be https://HOST or https://HOST:PORT, without user, query and fragment")
	case localhost.Exposed(u) && !c.Insecure:
		return nil, errors.New("the address must be https: without TLS, tokens and secrets can be read on the way")
	}
	return u, nil
}

// CompareVersions goes by the number, where versions are numbers.
func (n *Node) CompareVersions(a, b secret.Version) int { return secret.CompareNumbers(a, b) }

// Close ends the requests that are under way and releases the connections. Later requests fail with ErrClosed. The token
// is left to its time to live.
func (n *Node) Close() error {
	n.wire.Close()
	return n.login.Close()
}
