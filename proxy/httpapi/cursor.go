package httpapi

import (
	"bytes"
	"encoding/base64"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// A cursor holds the last path examined, which the caller may not be allowed to see or to name: it is sealed, together
// with the prefix that it belongs to.

func (n *Native) sealCursor(path string, prefix secret.Path) string {
	padded := make([]byte, secret.MaxPathBytes)
	copy(padded, path)
	return base64.RawURLEncoding.EncodeToString(n.cursors.Seal(nil, nil, padded, cursorData(prefix)))
}

func (n *Native) openCursor(s string, prefix secret.Path) (string, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil {
		var path []byte
		if path, err = n.cursors.Open(nil, nil, sealed, cursorData(prefix)); err == nil {
			return string(bytes.TrimRight(path, "\x00")), nil
		}
	}
	return "", fail(api.InvalidRequest, "page is not the next_page of an earlier answer for this prefix; start over without it")
}

func cursorData(prefix secret.Path) []byte {
	return []byte("keyhole list cursor v1\n" + prefix.String())
}
