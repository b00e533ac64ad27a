package edge

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

// Keyhole makes the driver of another Keyhole.
func Keyhole(base AWSBase) func(app.Env, config.Upstream) (secret.Upstream, error) {
	return func(e app.Env, u config.Upstream) (secret.Upstream, error) {
		k := u.Keyhole
		c := keyhole.Config{Address: k.Address, Insecure: k.InsecureHTTP, Wall: e.Wall, Logger: e.Logger}
		if !k.TLS.CA.IsZero() {
			var err error
			if c.CA, err = e.Resolve(k.TLS.CA); err != nil {
				return nil, err
			}
		}
		var err error
		if c.Login, err = keyholeLogin(e, k, base); err != nil {
			return nil, err
		}
		n, err := keyhole.New(c)
		if err != nil {
			return nil, errors.Join(err, c.Login.Close())
		}
		return n, nil
	}
}

func keyholeLogin(e app.Env, k *config.Keyhole, base AWSBase) (login keyhole.Login, err error) {
	switch a := k.Auth; {
	case a.Token != nil:
		if err := fixed(e, a.Token.Token, keyhole.CheckToken); err != nil {
			return login, fmt.Errorf("auth.token: %w", err)
		}
		return keyhole.TokenFrom(source(e, a.Token.Token)), nil
	case a.Key != nil:
		if err := fixed(e, a.Key.Key, func(text []byte) error { _, err := identity.ParseClientKey(text); return err }); err != nil {
			return login, fmt.Errorf("auth.key: %w", err)
		}
		return keyhole.Assertion(func(now time.Time) (string, error) { return assertion(e, a.Key.Key, k.Audience(), now) }), nil
	case a.AWS != nil:
		w, err := webIdentity(e, a.AWS, k.Audience(), base)
		if err != nil {
			return login, err
		}
		return keyhole.WebIdentity(w), nil
	}
	return login, nil
}

// fixed checks at the start what a variable holds, which does not change. What a file holds may be exchanged, or come later.
func fixed(e app.Env, r config.Ref, check func([]byte) error) error {
	if r.Scheme != "env" {
		return nil
	}
	text, err := e.Resolve(r)
	if err != nil {
		return err
	}
	defer clear(text)
	return check(text)
}

// assertion reads the key each time, so that one that was exchanged is seen.
func assertion(e app.Env, key config.Ref, audience string, now time.Time) (string, error) {
	text, err := e.Resolve(key)
	if err != nil {
		return "", err
	}
	defer clear(text)
	parsed, err := identity.ParseClientKey(text)
	if err != nil {
		return "", err
	}
	return parsed.Assertion(audience, now)
}

func webIdentity(e app.Env, a *config.KeyholeAWS, audience string, base AWSBase) (*awsjson.WebIdentity, error) {
	s, err := awsjson.FromEnvironment(e.Getenv, "STS")
	if err != nil {
		return nil, err
	}
	provider, region, err := base(e)
	if err != nil {
		return nil, err
	}
	return awsjson.NewWebIdentity(awsjson.Config{
		Region: cmp.Or(a.Region, s.Region, region), STSEndpoint: s.STSEndpoint, CA: s.CA,
		Credentials: provider, Wall: e.Wall, Logger: e.Logger,
	}, audience, a.Algorithm)
}
