package edge

import (
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

func openVault(e app.Env, u config.Upstream) (secret.Upstream, error) {
	v := u.Vault
	c := vault.Config{
		Address: v.Address, Namespace: v.Namespace, Mount: v.KV.Mount, Version: v.KV.Version, Wall: e.Wall, Logger: e.Logger,
	}
	c.Polled = v.Poll.Interval > 0
	c.Login, c.Inline = vaultLogin(e, v.Auth)
	if !v.TLS.CA.IsZero() {
		var err error
		if c.TLS.CA, err = e.Resolve(v.TLS.CA); err != nil {
			return nil, err
		}
	}
	if !v.TLS.Cert.IsZero() {
		c.TLS.Certificate, c.TLS.Key = source(e, v.TLS.Cert), source(e, v.TLS.Key)
	}
	return vault.New(c)
}

func vaultLogin(e app.Env, a config.VaultAuth) (login vault.Login, inline bool) {
	switch {
	case a.Token != nil:
		return vault.TokenFrom(source(e, a.Token.Token)), false
	case a.AppRole != nil:
		return vault.AppRole(a.AppRole.Mount, source(e, a.AppRole.RoleID), source(e, a.AppRole.SecretID)), a.AppRole.Inline
	case a.JWT != nil:
		return vault.JWT(a.JWT.Mount, a.JWT.Role, source(e, a.JWT.JWT)), a.JWT.Inline
	case a.Kubernetes != nil:
		return vault.JWT(a.Kubernetes.Mount, a.Kubernetes.Role, source(e, a.Kubernetes.JWT)), a.Kubernetes.Inline
	}
	return vault.Login{}, false
}

// source reads what a reference leads to each time it is asked.
func source(e app.Env, r config.Ref) func() ([]byte, error) {
	return func() ([]byte, error) { return e.Resolve(r) }
}
