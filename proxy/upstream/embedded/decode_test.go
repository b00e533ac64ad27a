package embedded_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

func TestDecodersRefuseWhatIsNotCanonical(t *testing.T) {
	good := []byte{2, 1, 'a', 1, 'x', 1, 'b', 0}
	if m, err := embedded.DecodeMetadata(good); err != nil || m["a"] != "x" || len(m) != 2 {
		t.Fatalf("got %v, %v", m, err)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "cut": good[:7], "too long": append(bytes.Clone(good), 0), "out of order": {2, 1, 'b', 0, 1, 'a', 0},
		"repeated": {2, 1, 'a', 0, 1, 'a', 0}, "too many": append([]byte{65}, bytes.Repeat([]byte{0, 0}, 65)...),
		"endless length": {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a', 0},
	} {
		if m, err := embedded.DecodeMetadata(b); !errors.Is(err, embedded.ErrCorrupt) || m != nil {
			t.Errorf("%s: got %v, %v, want ErrCorrupt", name, m, err)
		}
	}
	for name, b := range map[string][]byte{"empty": {}, "unknown kind": {2, 'x'}} {
		if _, err := embedded.DecodePayload(b); !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("payload, %s: got %v, want ErrCorrupt", name, err)
		}
	}
}
