// Package vault reads and writes the key/value secrets engines, versions 1 and 2, of HashiCorp Vault and OpenBao.
//
// Its laws:
//   - New asks nothing of the network. The first request logs in; a token that nears its end is renewed by the request
//     that finds it so, and by one request at a time. Nothing runs in the background, and age is measured by the wall
//     clock, so that a process that was frozen notices.
//   - "No such secret" (secret.ErrNotFound) and "denied" (secret.ErrDenied) are said only in the vault's own words. A
//     missing mount, namespace or route, a failed login, a page of a gateway and whatever cannot be understood is a
//     failure of the vault (secret.ErrUnavailable), for a cached value must survive it.
//   - A refusal is believed after one new login. Refusals that follow at once cost no more logins, as long as the vault
//     knows the token: one that was revoked since says nothing about a secret.
//   - The token goes to the configured address only: redirects are not followed, proxies of the environment not used.
//   - Answers are bounded before they are parsed, and parsed strictly. Values are bytes from the socket on; what held
//     them on the way is wiped. No error quotes an answer.
//   - A secret with a lease is refused with secret.ErrLeased.
//
// Version 2 has versions, named by their numbers, and the custom metadata of a secret as its metadata, which is that of
// all its versions. A version that was deleted or destroyed reads as ErrNotFound. Where that is the current one, the
// secret has no current and no previous version; the numbers that are left can still be read.
//
// Version 1 has one value of each secret, and no name or time for it. What stands for the version is a fingerprint of
// the content under a key that is drawn by New: it changes with the content, and means nothing elsewhere.
package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Config says which engine of which server to use, and as whom.
type Config struct {
	// Address is the URL of the server, http or https, with the path that precedes "/v1/" where a gateway adds one.
	Address string
	// Namespace is sent with every request; "" sends none.
	Namespace string
	// Mount is the path of the engine, Version its version: 1 or 2.
	Mount   string
	Version int
	// Login makes tokens.
	Login Login
	// Inline sends the login along with every request and keeps no token. OpenBao offers it from 2.4 on; other
	// servers refuse such requests.
	Inline bool
	// TLS is how the server is verified and what is shown to it.
	TLS TLS
	// Polled says that versions will be asked for again and again, so that Checkup finds out where they may not be.
	Polled bool
	// Wall measures the age of tokens; nil is time.Now.
	Wall func() time.Time
	// Logger hears of an address without TLS; nil discards.
	Logger *slog.Logger
}

// New returns an upstream that is a secret.Lister and, for version 2 of the engine, a secret.Writer, Deleter, Versioner
// and OrderedVersions as well.
func New(c Config) (secret.Upstream, error) {
	base, err := c.base()
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	w, err := c.TLS.wire(c.Wall)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if localhost.Exposed(base) && c.Logger != nil {
		c.Logger.Warn("a vault is reached without TLS: tokens and secrets can be read on the way", "address", base.Redacted())
	}
	e := &engine{
		wire:  &vaultWire{w, base.String() + "/v1/", c.Namespace},
		login: c.Login,
		mount: c.Mount, polled: c.Polled,
	}
	if !c.Inline {
		e.tokens = newTokens(e.wire, c.Login, c.Wall)
	}
	if c.Version == 1 {
		v := &kv1{engine: e}
		_, _ = rand.Read(v.key[:]) // never fails
		return v, nil
	}
	return &kv2{engine: e, wall: c.Wall}, nil
}

func (c *Config) base() (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(c.Address, "/"))
	switch {
	case err != nil:
		return nil, errors.New("the address is no URL")
	case base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "", base.User != nil, base.RawQuery != "" || base.ForceQuery, base.Fragment != "":
		return nil, errors.New("the address must be http://HOST:PORT or https://HOST:PORT, without user, query and fragment")
	case c.Version != 1 && c.Version != 2:
		return nil, fmt.Errorf("version %d of the key/value engine: there are 1 and 2", c.Version)
	case strings.ContainsFunc(c.Namespace, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the namespace is not printable ASCII")
	}
	if _, err := secret.ParsePath(c.Mount); err != nil {
		return nil, fmt.Errorf("the mount of the engine: %w", err)
	}
	return base, c.Login.check(c.Inline)
}

// engine is what both versions have in common.
type engine struct {
	wire   *vaultWire
	tokens *tokens // nil: every request carries the login
	login  Login
	mount  string
	final  bool // a refusal is believed without a new login
	polled bool // versions will be asked for again and again
}

// path names a resource of the engine: part is "" in version 1, and "data", "metadata" or "destroy" in version 2. A name
// that is no valid path names no secret.
func (e *engine) path(part, name string) (string, error) {
	if _, err := secret.ParsePath(name); err != nil {
		return "", fmt.Errorf("%w: %w", secret.ErrNotFound, err)
	}
	if part != "" {
		part += "/"
	}
	return e.mount + "/" + part + name, nil
}

// Close ends the requests that are under way and releases the connections. Later requests fail with ErrClosed. The token
// is left to its time to live: revoking it would be one more request, to a vault that may be down.
func (e *engine) Close() error {
	e.wire.Close()
	return nil
}
