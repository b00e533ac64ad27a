package config

import (
	"net/netip"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Listen is the server's addresses. Each is HOST:PORT; empty switches the listener off, port 0 takes any free port.
type Listen struct {
	Native         Listener       `key:"native" default:"127.0.0.1:8640" doc:"The native API."`
	Admin          string         `key:"admin" format:"address" default:"127.0.0.1:8641" doc:"Health, readiness with its reason, and backups of the vault; a loopback address."`
	AWS            AWSListener    `key:"aws" doc:"The dialect of the AWS Parameters and Secrets extension, for programs of this machine."`
	Vault          Listener       `key:"vault" doc:"The dialect of Vault's KV API."`
	TrustedProxies []netip.Prefix `key:"trusted_proxies" doc:"Networks whose X-Forwarded-For is believed."`
	InsecureHTTP   bool           `key:"insecure_http" default:"false" doc:"Allow plain HTTP on an address that is not loopback."`

	// FromPort reports that the variable PORT chose Native's address, which permits plain HTTP there: platforms that
	// set PORT end TLS in front of it.
	FromPort bool
}

// Listener is one address, with TLS or without. A document may give the address alone.
type Listener struct {
	Address string `key:"address" format:"address" shorthand:"true" doc:"HOST:PORT to listen on."`
	TLS     *TLS   `key:"tls" doc:"Serve HTTPS."`
}

// AWSListener is the address of the AWS dialect, and which paths its names are. A document may give the address alone.
type AWSListener struct {
	Address    string      `key:"address" format:"address" shorthand:"true" doc:"HOST:PORT to listen on: a loopback address, such as 127.0.0.1:2773 where clients look for it."`
	Secrets    secret.Path `key:"secrets" doc:"Path below which the names of secrets are; when empty a name is a path."`
	Parameters secret.Path `key:"parameters" doc:"Path below which the names of parameters are; when empty a name is a path."`
}

// TLS is the certificate of a listener.
type TLS struct {
	Cert     Ref `key:"cert" required:"true" doc:"Certificate chain, PEM."`
	Key      Ref `key:"key" required:"true" private:"true" doc:"Private key, PEM."`
	ClientCA Ref `key:"client_ca" doc:"Ask for client certificates that these authorities signed, PEM."`
}
