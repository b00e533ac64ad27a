package embedded_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

func TestGeneratedKeysParse(t *testing.T) {
	one, err := embedded.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := embedded.GenerateKey(nil)
	if err != nil || bytes.Equal(one, two) {
		t.Fatalf("two keys are equal (%v)", err)
	}
	if key, err := embedded.ParseKey(one); err != nil || len(key) != embedded.KeyBytes {
		t.Errorf("ParseKey: %d bytes, %v", len(key), err)
	}
	if _, err := embedded.GenerateKey(strings.NewReader("too short")); err == nil {
		t.Error("made a key of too little randomness")
	}
}

func TestParseKeyForms(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	encoded := base64.StdEncoding.EncodeToString(key)
	line := "keyhole-master-key-v1:" + encoded
	if got, err := embedded.GenerateKey(bytes.NewReader(key)); err != nil || string(got) != line+"\n" {
		t.Errorf("GenerateKey: %q (%v)", got, err)
	}
	for _, text := range []string{line, line + "\n", line + "\r\n"} {
		if got, err := embedded.ParseKey([]byte(text)); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%q: got %q (%v)", text, got, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "raw bytes": string(key), "no prefix": encoded, "prefix alone": "keyhole-master-key-v1:",
		"another version": strings.Replace(line, "v1", "v2", 1), "hex": "keyhole-master-key-v1:" + strings.Repeat("0a", 32),
		"cut": line[:len(line)-1], "two line ends": line + "\n\n", "two lines": line + "\n" + line, "space before": " " + line,
		"space after": line + " ", "space inside": strings.Replace(line, ":", ": ", 1), "line end inside": line[:40] + "\n" + line[41:],
		"stray bits": line[:len(line)-2] + "Z=", "no padding": strings.TrimRight(line, "="), "URL alphabet": line[:len(line)-4] + "-_0=",
		"31 bytes": "keyhole-master-key-v1:" + base64.StdEncoding.EncodeToString(key[1:]),
	} {
		got, err := embedded.ParseKey([]byte(text))
		if !errors.Is(err, embedded.ErrInvalidKey) || got != nil {
			t.Errorf("%s: got %d bytes, %v, want ErrInvalidKey", name, len(got), err)
		}
		if err != nil && strings.Contains(err.Error(), encoded[:8]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}
