package embedded_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// TestCheckPagesSeesEachDamage breaks one rule of the data file at a time, on every page where that can be done.
func TestCheckPagesSeesEachDamage(t *testing.T) {
	order := binary.NativeEndian
	file := sampleVault(t, 40)
	refused := func(change func(file []byte)) bool {
		changed := bytes.Clone(file)
		change(changed)
		err := embedded.CheckPages(bytes.NewReader(changed), int64(len(changed)))
		if err != nil && !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("got %v, want ErrCorrupt", err)
		}
		return err != nil
	}
	// A page in use is one whose number matters.
	var used []int
	leaves := map[int]bool{}
	for at := 2 * 4096; at < len(file); at += 4096 {
		if refused(func(file []byte) { file[at]++ }) {
			used = append(used, at)
			leaves[at] = order.Uint16(file[at+8:]) == 0x02
		}
	}
	if len(used) < 10 {
		t.Fatalf("%d pages are in use", len(used))
	}
	ordered, values, freed := 0, 0, 0
	for _, at := range used {
		count := order.Uint16(file[at+10:])
		switch {
		case leaves[at] && count > 0:
			values++
			if !refused(func(file []byte) { order.PutUint32(file[at+16+12:], 1<<20) }) {
				t.Errorf("page %d: a value beyond the page's end is not seen", at/4096)
			}
			if count < 2 {
				break
			}
			ordered++
			key := at + 16 + int(order.Uint32(file[at+16+4:]))
			if !refused(func(file []byte) { file[key] = 0xff }) {
				t.Errorf("page %d: keys out of order are not seen", at/4096)
			}
		case order.Uint16(file[at+8:]) == 0x10 && count > 0:
			freed++
			// The lowest page, so that the list stays in order.
			if !refused(func(file []byte) { order.PutUint64(file[at+16:], uint64(used[0]/4096)) }) {
				t.Errorf("page %d is in use and free, which is not seen", used[0]/4096)
			}
		}
	}
	if ordered == 0 || values == 0 || freed != 1 {
		t.Errorf("the sample has %d leaves, %d of several keys, %d lists of free pages", values, ordered, freed)
	}
	high := int64(max(order.Uint64(file[16+40:]), order.Uint64(file[4096+16+40:]))) * 4096
	if err := embedded.CheckPages(bytes.NewReader(file), high-1); !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("a file that lacks its last byte: got %v, want ErrCorrupt", err)
	}
	if err := embedded.CheckPages(bytes.NewReader(file), high); err != nil {
		t.Errorf("a file that ends with its last page: %v", err)
	}
}

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
