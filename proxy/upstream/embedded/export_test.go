package embedded

import "github.com/keyhole-edge/keyhole/proxy/secret"

// Decoders of what the file holds, for fuzzing: none may panic, whatever the bytes.

func DecodeHeader(b []byte) error { _, err := decodeHeader(b); return err }

func DecodeHead(b []byte) error { _, err := decodeHead(b); return err }

func SplitRecord(b []byte) error { _, _, _, _, err := splitRecord(b); return err }

func DecodeChange(key, name []byte) error { _, err := decodeChange(key, name); return err }

func DecodePayload(b []byte) (*secret.Secret, error) {
	s := &secret.Secret{}
	return s, decodePayload(b, s)
}

func EncodePayload(s *secret.Secret) []byte { return encodePayload(s) }

func DecodeMetadata(b []byte) (map[string]string, error) { return decodeMetadata(b) }

func EncodeMetadata(m map[string]string) []byte { return encodeMetadata(m) }
