package config

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
)

// Keyhole is another Keyhole, such as that of the region.
type Keyhole struct {
	Address      string         `key:"address" required:"true" format:"url" doc:"URL of its native API: https, or http on this machine."`
	InsecureHTTP bool           `key:"insecure_http" default:"false" doc:"Let the address be http on another machine: tokens and secrets can be read on the way."`
	Auth         KeyholeAuth    `key:"auth" doc:"How to log in."`
	TLS          KeyholeTLS     `key:"tls" doc:"How the server proves who it is."`
	Timeout      Duration       `key:"timeout" default:"4s" min:"1ms" doc:"Longest wait for the answer to one request of a read, which may be tried again."`
	Limits       UpstreamLimits `key:"limits" doc:"What this node may ask of it."`
}

// KeyholeAuth is a login. The part of its Method is set.
type KeyholeAuth struct {
	Method string        `key:"method" union:"true" required:"true" enum:"token|key|aws" doc:"token: one that somebody else gets. key: a client's key. aws: the identity that AWS gives its workloads."`
	Token  *KeyholeToken `variant:"token"`
	Key    *KeyholeKey   `variant:"key"`
	AWS    *KeyholeAWS   `variant:"aws"`
}

// KeyholeToken is a token that somebody else gets and renews.
type KeyholeToken struct {
	Token Ref `key:"token" required:"true" private:"true" doc:"The token. It is read again when it is not taken any more."`
}

// KeyholeKey is the key of a client (RFC 7523).
type KeyholeKey struct {
	Key      Ref    `key:"key" required:"true" private:"true" doc:"The key, as keyhole key new prints it, read at each login."`
	Audience string `key:"audience" doc:"Name of the other Keyhole: its identity.issuer or identity.audience. Its address when empty."`
}

// KeyholeAWS is the identity of a workload in AWS.
type KeyholeAWS struct {
	Audience  string `key:"audience" doc:"Name of the other Keyhole: its identity.audience. Its address when empty."`
	Algorithm string `key:"algorithm" enum:"ES384|RS256" default:"ES384" doc:"How AWS signs the tokens."`
	Region    string `key:"region" format:"name" doc:"Region whose STS is asked; AWS_REGION of the environment when empty."`
}

// KeyholeTLS is how the other Keyhole is verified.
type KeyholeTLS struct {
	CA Ref `key:"ca" doc:"Authorities that may have signed the server's certificate, PEM; those of the system when absent."`
}

// Refs is every reference of u, by its key.
func (u *Keyhole) Refs() map[string]Ref {
	refs := map[string]Ref{"tls.ca": u.TLS.CA}
	switch a := u.Auth; {
	case a.Token != nil:
		refs["auth.token"] = a.Token.Token
	case a.Key != nil:
		refs["auth.key"] = a.Key.Key
	}
	return refs
}

// Audience is what the other Keyhole calls itself.
func (u *Keyhole) Audience() string {
	own := ""
	switch a := u.Auth; {
	case a.Key != nil:
		own = a.Key.Audience
	case a.AWS != nil:
		own = a.AWS.Audience
	}
	return cmp.Or(own, strings.TrimRight(u.Address, "/"))
}

func (k *checker) keyhole(p *path, u *Keyhole) {
	address, err := url.Parse(u.Address)
	if err == nil && localhost.Exposed(address) && !u.InsecureHTTP {
		k.conflict(p.key("address"), "is http on another machine, where tokens and secrets can be read on the way; want https, or say insecure_http: true", "", p.key("insecure_http"))
	}
}
