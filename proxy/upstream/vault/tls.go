package vault

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
)

// TLS is how the two sides prove who they are. The zero value trusts the authorities of the system and shows nothing.
type TLS struct {
	// CA is the authorities that may have signed the server's certificate, PEM; empty means those of the system.
	CA []byte
	// Certificate and Key are the client certificate and its key, PEM, read anew for each connection; both or neither.
	Certificate, Key Source
}

func (c TLS) wire(wall func() time.Time) (*wire.Wire, error) {
	switch {
	case (c.Certificate == nil) != (c.Key == nil):
		return nil, errors.New("a client certificate and its key must be given together")
	case c.Certificate == nil:
		return wire.New(wire.Config{CA: c.CA, Wall: wall})
	}
	return wire.New(wire.Config{CA: c.CA, Certificate: c.pair, Wall: wall})
}

func (c TLS) pair() (*tls.Certificate, error) {
	certificate, err := c.Certificate()
	if err != nil {
		return nil, err
	}
	key, err := c.Key()
	if err != nil {
		return nil, err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(certificate, key)
	return &pair, err
}
