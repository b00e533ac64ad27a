package jwks

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

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
	u, err := trust.ParseLocation(raw, private)
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
