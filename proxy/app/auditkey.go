package app

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// AuditPublicKey is the key that verifies a log: that in the file, or where file is "" that of the configuration.
func AuditPublicKey(c *config.Config, getenv func(string) string, file string) (ed25519.PublicKey, error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		defer clear(text)
		key, err := audit.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return key, nil
	}
	if c == nil {
		return nil, errors.New("no key to verify with; use --key FILE")
	}
	text, err := c.Audit.Key.Resolve(c.Dir, getenv)
	if err != nil {
		return nil, fmt.Errorf("audit.key: %w", err)
	}
	defer clear(text)
	return audit.ParsePublicKey(text)
}
