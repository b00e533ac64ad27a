package jwks

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// NewFrom returns a source that fetches in another way, for tests of everything else.
func NewFrom(c Config, fetch func(context.Context) (*identity.KeySet, time.Duration, error)) *Source {
	return newSource(c, fetch)
}

func Freshness(h http.Header) time.Duration { return freshness(h) }

func Taken(a netip.Addr, private bool) bool { return taken(a, private) }

func KeysOf(document []byte, issuer string, private bool) (*url.URL, error) {
	at, err := trust.DiscoveryOf(issuer, private)
	if err != nil {
		return nil, err
	}
	return keysOf(document, issuer, at, private)
}

const (
	MissPause       = missPause
	LongestPause    = longestPause
	MaxWaiting      = maxWaiting
	MaxWaitingFirst = maxWaitingFirst
	Patience        = patience
	FrozenAfter     = frozenAfter
)
