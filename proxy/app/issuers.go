package app

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// issuers are where the keys of each issuer that trust rules name come from, by iss. It never changes: a reload makes
// another one, which shares what is the same.
type issuers map[string]*keySource

// keySource is the source of one issuer's keys.
type keySource struct {
	identity.KeySource
	made  making
	close func() error
}

// making is all that a source is made of: where it is equal, the source and the keys that it has fetched stay.
type making struct {
	uri              string
	bundled, ca      [sha256.Size]byte // of the files
	private, offline bool
}

// serves reports whether k can stay where one like m is wanted. What is bundled is for the time before the first fetch: a
// new source would take keys of it that the issuer has withdrawn since.
func (k *keySource) serves(m making) bool {
	if s, ok := k.KeySource.(*jwks.Source); ok && s.Fetched() {
		m.bundled = k.made.bundled
	}
	return k.made == m
}

func (s issuers) sources() map[string]identity.KeySource {
	out := make(map[string]identity.KeySource, len(s))
	for iss, k := range s {
		out[iss] = k
	}
	return out
}

// closeBut closes the sources that kept does not share.
func (s issuers) closeBut(kept issuers) error {
	var errs []error
	for iss, k := range s {
		if kept[iss] != k {
			errs = append(errs, k.close())
		}
	}
	return errors.Join(errs...)
}

// issuers makes the sources for a set of rules, or takes over those in use. It asks nobody: keys are fetched when a token
// needs them. On error nothing new is left open.
func (b *builder) issuers(set *trust.Set) (issuers, error) {
	out := issuers{}
	for _, i := range set.Issuers() {
		k, err := b.keySource(i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("trust: issuer %s: %w", i.Issuer, err), out.closeBut(b.app.issuers))
		}
		out[i.Issuer] = k
	}
	return out, nil
}

func (b *builder) keySource(i trust.Issuer) (*keySource, error) {
	bundle, err := b.file("jwks", i.JWKS)
	if i.Assertion && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; make it with: keyhole trust add-key", err)
	}
	if err != nil {
		return nil, err
	}
	ca, err := b.file("ca", i.CA)
	if err != nil {
		return nil, err
	}
	made := making{i.JWKSURI, sha256.Sum256(bundle), sha256.Sum256(ca), i.AllowPrivate, i.Assertion}
	if old := b.app.issuers[i.Issuer]; old != nil && old.serves(made) {
		return old, nil
	}
	var keys *identity.KeySet
	if bundle != nil {
		if keys, err = identity.ParseKeySet(bundle); err != nil {
			return nil, fmt.Errorf("%s: %w", i.JWKS, err)
		}
	}
	if i.Assertion { // its keys are in the file, which its rule must name, and nowhere else
		return &keySource{keys, made, func() error { return nil }}, nil
	}
	where, err := b.location(i, ca)
	if err != nil {
		return nil, err
	}
	where.Bundled = keys
	s, err := jwks.New(where)
	if err != nil {
		return nil, err
	}
	return &keySource{s, made, s.Close}, nil
}

// location is where the keys of an issuer are.
func (b *builder) location(i trust.Issuer, ca []byte) (jwks.Config, error) {
	roots, err := authorities(ca)
	if err != nil {
		return jwks.Config{}, fmt.Errorf("%s: %w", i.CA, err)
	}
	return jwks.Config{
		Issuer: i.Issuer, JWKSURI: i.JWKSURI, Roots: roots, AllowPrivate: i.AllowPrivate,
		Wall: b.env.Wall, Mono: b.options.Mono, Logger: b.env.Logger,
	}, nil
}

// file reads what a trust rule refers to, nil where it refers to nothing.
func (b *builder) file(key, ref string) ([]byte, error) {
	if ref == "" {
		return nil, nil
	}
	r, err := config.ParseRef(ref, "file")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	text, err := b.env.Resolve(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return text, nil
}

// authorities are those of the system and, where there is one, that of the issuer. nil is the system's alone.
func authorities(ca []byte) (*x509.CertPool, error) {
	if ca == nil {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}
