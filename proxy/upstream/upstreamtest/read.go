package upstreamtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func testRead(t *testing.T, h Harness) {
	t.Run("Found", func(t *testing.T) {
		u := open(t, h)
		want := simple(h, "found")
		v := put(t, h, u, "suite/found", want)
		got := read(t, u, "suite/found", secret.Current)
		same(t, h, got, want)
		isVersion(t, got)
		if v != "" && got.Version != v {
			t.Errorf("version %q, want %q", got.Version, v)
		}
	})
	t.Run("NotFound", func(t *testing.T) {
		u := open(t, h)
		put(t, h, u, "suite/dir/found", simple(h, "found"))
		for _, name := range []string{"suite/dir", "suite/dir/foun", "suite/dir/found2", "suite/dir/found/below", "suite/dir/Found", "other"} {
			s, err := u.Read(t.Context(), name, secret.Current)
			refused(t, s, err, "reading "+name, secret.ErrNotFound)
		}
	})
	if h.Values {
		t.Run("Value", func(t *testing.T) { testValues(t, h) })
	}
	if h.Fields {
		t.Run("Fields", func(t *testing.T) { testFields(t, h) })
	}
	if h.Metadata {
		t.Run("Metadata", func(t *testing.T) {
			u := open(t, h)
			want := simple(h, "described")
			want.Metadata = map[string]string{"owner": "payments", "classification": "restricted", "note": "a=b, \"c\" é"}
			put(t, h, u, "suite/described", want)
			same(t, h, read(t, u, "suite/described", secret.Current), want)
		})
	}
	t.Run("OwnedByCaller", func(t *testing.T) {
		u := open(t, h)
		want := simple(h, "owned")
		if h.Metadata {
			want.Metadata = map[string]string{"owner": "payments"}
		}
		put(t, h, u, "suite/owned", want)
		first := read(t, u, "suite/owned", secret.Current)
		second := read(t, u, "suite/owned", secret.Current)
		first.Wipe()
		for k := range first.Metadata {
			first.Metadata[k] = "changed"
		}
		same(t, h, second, want)
		same(t, h, read(t, u, "suite/owned", secret.Current), want)
	})
	t.Run("Concurrently", func(t *testing.T) {
		u := open(t, h)
		const names, readers, rounds = 4, 16, 20
		for i := range names {
			put(t, h, u, fmt.Sprintf("suite/n%d", i), simple(h, fmt.Sprint("number ", i)))
		}
		var wg sync.WaitGroup
		for r := range readers {
			wg.Go(func() {
				for i := range rounds {
					n := (r + i) % names
					s, err := u.Read(t.Context(), fmt.Sprintf("suite/n%d", n), secret.Current)
					if err != nil {
						quiet(t, err)
						t.Errorf("reading suite/n%d: %v", n, err)
						return
					}
					same(t, h, s, simple(h, fmt.Sprint("number ", n)))
					s.Wipe()
				}
			})
		}
		wg.Wait()
	})
}

func testValues(t *testing.T, h Harness) {
	u := open(t, h)
	values := map[string][]byte{
		"text": []byte(Canary + " é ☃ 🔑"), "lines": []byte(Canary + "\r\n\t\"quoted\" \\ {\"a\":1}\n"),
		"large": large(h.MaxBytes),
	}
	if h.Binary {
		values["binary"] = append([]byte{0, 0xff, 0xfe, 0x80, '\n', 0}, Canary...)
	}
	for name, value := range values {
		want := &secret.Secret{Value: secret.NewValue(value)}
		put(t, h, u, "suite/"+name, want)
		got := read(t, u, "suite/"+name, secret.Current)
		t.Run(name, func(t *testing.T) { same(t, h, got, want) })
	}
}

func testFields(t *testing.T, h Harness) {
	u := open(t, h)
	want := &secret.Secret{Fields: []secret.Field{
		{Name: "A", Value: secret.NewValue([]byte(Canary + " é \" \\ \n"))},
		{Name: "DB_URL", Value: secret.NewValue([]byte("postgres://user:" + Canary + "@host/db?x=1&y=<2>"))},
		{Name: "EMPTY", Value: secret.NewValue(nil)},
		{Name: "a", Value: secret.NewValue([]byte("12"))},
	}}
	put(t, h, u, "suite/fields", want)
	got := read(t, u, "suite/fields", secret.Current)
	same(t, h, got, want)

	big := &secret.Secret{Fields: []secret.Field{{Name: "big", Value: secret.NewValue(large(h.MaxBytes - len("big")))}}}
	put(t, h, u, "suite/large", big)
	same(t, h, read(t, u, "suite/large", secret.Current), big)
}

// large makes n bytes of text.
func large(n int) []byte {
	return bytes.Repeat([]byte(Canary+" "), n/len(Canary)+1)[:n]
}

func testVersions(t *testing.T, h Harness) {
	t.Run("Unknown", func(t *testing.T) {
		u := open(t, h)
		put(t, h, u, "suite/one", simple(h, "one"))
		for _, v := range []secret.Version{"0", "2", "99999999", "99999999999999999999999999", "01", "-1", "no-such-version"} {
			s, err := u.Read(t.Context(), "suite/one", v)
			if !h.KeepsVersions && errors.Is(err, secret.ErrUnsupported) {
				err = secret.ErrNotFound
			}
			refused(t, s, err, fmt.Sprintf("reading version %q", v), secret.ErrNotFound)
		}
		s, err := u.Read(t.Context(), "suite/one", secret.Previous)
		if !h.KeepsVersions && errors.Is(err, secret.ErrUnsupported) {
			err = secret.ErrNotFound
		}
		refused(t, s, err, "reading the version before the first", secret.ErrNotFound)
	})
	t.Run("Follow", func(t *testing.T) {
		u := open(t, h)
		put(t, h, u, "suite/many", simple(h, "first"))
		one := read(t, u, "suite/many", secret.Current)
		put(t, h, u, "suite/many", simple(h, "second"))
		two := read(t, u, "suite/many", secret.Current)
		same(t, h, two, simple(h, "second"))
		if one.Version == two.Version {
			t.Errorf("two versions are both called %q", one.Version)
		}
		if two.CreatedAt.Before(one.CreatedAt) {
			t.Errorf("the second version is from %v, before the first of %v", two.CreatedAt, one.CreatedAt)
		}
		if byName := read(t, u, "suite/many", two.Version); byName.Version != two.Version || !byName.CreatedAt.Equal(two.CreatedAt) {
			t.Errorf("current by name: version %q of %v, want %q of %v", byName.Version, byName.CreatedAt, two.Version, two.CreatedAt)
		}
		if !h.KeepsVersions {
			return
		}
		for _, v := range []secret.Version{secret.Previous, one.Version} {
			got := read(t, u, "suite/many", v)
			same(t, h, got, simple(h, "first"))
			if got.Version != one.Version || !got.CreatedAt.Equal(one.CreatedAt) {
				t.Errorf("%s: version %q of %v, want %q of %v", v, got.Version, got.CreatedAt, one.Version, one.CreatedAt)
			}
		}
	})
}

func testContext(t *testing.T, h Harness) {
	u := open(t, h)
	put(t, h, u, "suite/there", simple(h, "there"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	s, err := u.Read(cancelled, "suite/there", secret.Current)
	refused(t, s, err, "reading for a caller who left", context.Canceled)
	s, err = u.Read(expired(t), "suite/there", secret.Current)
	refused(t, s, err, "reading after the deadline", secret.ErrTimeout)
	if l, ok := u.(secret.Lister); ok {
		_, err := l.List(cancelled, "", "", 10)
		wantError(t, err, "listing for a caller who left", context.Canceled)
		_, err = l.List(expired(t), "", "", 10)
		wantError(t, err, "listing after the deadline", secret.ErrTimeout)
	}
	if w, ok := u.(secret.Writer); ok {
		_, _, err := w.Write(cancelled, "suite/there", secret.Write{Secret: simple(h, "late")})
		wantError(t, err, "writing for a caller who left", context.Canceled)
		_, _, err = w.Write(expired(t), "suite/there", secret.Write{Secret: simple(h, "late")})
		wantError(t, err, "writing after the deadline", secret.ErrTimeout)
	}
	same(t, h, read(t, u, "suite/there", secret.Current), simple(h, "there"))
}

func testClose(t *testing.T, h Harness) {
	u := h.Open(t)
	put(t, h, u, "suite/there", simple(h, "there"))
	noError(t, "closing", u.Close())
	noError(t, "closing again", u.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := u.Read(ctx, "suite/there", secret.Current); err != nil {
		quiet(t, err)
	}
	if ctx.Err() != nil {
		t.Error("reading from a closed upstream hangs")
	}
}

// refused checks that an answer is the error wanted and nothing else.
func refused(t *testing.T, s *secret.Secret, err error, doing string, want error) {
	t.Helper()
	if s != nil {
		t.Errorf("%s: got a secret, want %v", doing, want)
	}
	wantError(t, err, doing, want)
}

func wantError(t *testing.T, err error, doing string, want error) {
	t.Helper()
	quiet(t, err)
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", doing, err, want)
	}
}
