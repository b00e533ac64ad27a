package embedded_test

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// FuzzDecodeRecords gives any bytes to every decoder: each must answer, with ErrCorrupt if it does not like them, and
// what it does like must encode to an equal again.
func FuzzDecodeRecords(f *testing.F) {
	fields := &secret.Secret{Fields: []secret.Field{{Name: "a", Value: secret.NewValue([]byte("1"))}, {Name: "b", Value: secret.NewValue(nil)}}}
	f.Add(embedded.EncodePayload(fields))
	f.Add(embedded.EncodePayload(value("text")))
	f.Add(embedded.EncodeMetadata(map[string]string{"owner": "payments"}))
	f.Add(bytes.Repeat([]byte{1}, 24))
	f.Add(bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, err := range []error{embedded.DecodeHead(b), embedded.SplitRecord(b), embedded.DecodeChange(b, b)} {
			if err != nil && !errors.Is(err, embedded.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		}
		if err := embedded.DecodeHeader(b); err != nil && !errors.Is(err, embedded.ErrCorrupt) && !errors.Is(err, embedded.ErrNewerFormat) {
			t.Errorf("got %v, want ErrCorrupt or ErrNewerFormat", err)
		}
		if s, err := embedded.DecodePayload(bytes.Clone(b)); err == nil {
			if again, err := embedded.DecodePayload(embedded.EncodePayload(s)); err != nil || !again.Value.Equal(s.Value) || len(again.Fields) != len(s.Fields) {
				t.Errorf("decoded, encoded and decoded again, %q differs (%v)", b, err)
			}
		} else if !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("got %v, want ErrCorrupt", err)
		}
		if m, err := embedded.DecodeMetadata(b); err == nil {
			if again, err := embedded.DecodeMetadata(embedded.EncodeMetadata(m)); err != nil || !maps.Equal(again, m) {
				t.Errorf("metadata %q became %q (%v)", m, again, err)
			}
		} else if !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("got %v, want ErrCorrupt", err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("keyhole-master-key-v1:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := embedded.ParseKey(text)
		if err != nil {
			if key != nil || !errors.Is(err, embedded.ErrInvalidKey) {
				t.Errorf("got %d bytes, %v", len(key), err)
			}
			return
		}
		canonical, err := embedded.GenerateKey(bytes.NewReader(key))
		if err != nil || !bytes.Equal(bytes.TrimRight(text, "\r\n"), bytes.TrimRight(canonical, "\n")) {
			t.Errorf("%d characters that no key is written as were accepted (%v)", len(text), err)
		}
	})
}
