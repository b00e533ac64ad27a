package keyhole

import (
	"bytes"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ParseAnswer is what an answer to a read of this name comes to.
func ParseAnswer(name string, status int, age string, body []byte) (*secret.Secret, error) {
	a := newAnswer(&wire.Answer{Status: status, Header: http.Header{"Age": {age}}, Body: bytes.Clone(body)})
	defer a.wipe()
	if err := a.check(); err != nil {
		return nil, err
	}
	s, err := a.secret(name)
	if err != nil {
		return nil, err
	}
	return s, s.Check()
}
