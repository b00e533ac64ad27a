package keyhole_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

// FuzzAnswer: whatever answers, only a Keyhole's own words are an absence or a denial, nothing comes younger than it says,
// and no error quotes it.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "3", []byte(answer()))
	f.Add(200, "", []byte(answer(`"value":"v","encoding":"utf-8"`, `"fields":{"a":"1"}`)))
	f.Add(200, "-1", []byte(answer(`"value":"v","encoding":"utf-8"`, `"value":"AP8=","encoding":"base64"`)))
	f.Add(404, "", []byte(failure("not_found")))
	f.Add(403, "", []byte(failure("revoked")))
	f.Add(502, "", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, age string, body []byte) {
		s, err := keyhole.ParseAnswer("a", status, age, body)
		switch {
		case err != nil && errors.Is(err, secret.ErrNotFound) && (status != 404 || !bytes.Contains(body, []byte("not_found")) && !bytes.Contains(body, []byte(`\u`))):
			t.Errorf("%d %q is no absence", status, body)
		case err != nil && errors.Is(err, secret.ErrDenied) && status != 403:
			t.Errorf("%d %q is no denial", status, body)
		case err != nil && len(body) > 8 && strings.Contains(err.Error(), canary):
			t.Errorf("the error quotes the answer: %v", err)
		case err == nil && (s.Age < 0 || s.Version == "" || status != 200):
			t.Errorf("%d %q gives %+v", status, body, s)
		}
	})
}
