package secret_test

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const canary = "CaNaRy-7f3d9b21"

// leaks reports whether out holds the canary in any spelling that an encoder could give it.
func leaks(out string) bool {
	lower := strings.ToLower(out)
	b := []byte(canary)
	for _, form := range []string{
		canary,
		hex.EncodeToString(b),
		strings.Trim(fmt.Sprint(b), "[]"), // 67 97 …
		strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ", "), // 43, 61, …
		fmt.Sprintf("% x", b),
		strings.Trim(strings.ReplaceAll(fmt.Sprintf("%#v", b), "[]byte", ""), "{}"), // 0x43, 0x61, …
		"q2fuyvj5", // base64 of "CaNaRy", lower case
	} {
		if strings.Contains(lower, strings.ToLower(form)) {
			return true
		}
	}
	return false
}

type exported struct {
	V secret.Value
	P *secret.Value
}

type unexported struct {
	v  secret.Value
	p  *secret.Value
	s  []secret.Value
	m  map[string]secret.Value
	i  any
	in struct{ v secret.Value }
}

type embedded struct{ secret.Value }

// carriers are the shapes that a value travels in.
func carriers() map[string]any {
	v := secret.NewValue([]byte(canary))
	u := unexported{v: v, p: &v, s: []secret.Value{v}, m: map[string]secret.Value{"k": v}, i: v}
	u.in.v = v
	return map[string]any{
		"value":      v,
		"pointer":    &v,
		"slice":      []secret.Value{v},
		"map":        map[string]secret.Value{"k": v},
		"exported":   exported{v, &v},
		"unexported": u,
		"to struct":  &u,
		"embedded":   embedded{v},
		"field":      secret.Field{Name: "k", Value: v},
		"secret":     secret.Secret{Value: v, Fields: []secret.Field{{Name: "k", Value: v}}},
		"to secret":  &secret.Secret{Value: v},
		"write":      secret.Write{Secret: &secret.Secret{Value: v}},
		"error":      fmt.Errorf("reading %v and %s", v, exported{v, &v}),
		"chain":      []any{v, u, &u},
	}
}

func TestValueIsNeverPrinted(t *testing.T) {
	if !leaks(fmt.Sprint([]byte(canary))) || !leaks(fmt.Sprintf("%x %#v", canary, []byte(canary))) {
		t.Fatal("the search for the canary is blind")
	}
	for name, c := range carriers() {
		for verb := ' '; verb <= '~'; verb++ {
			if verb == '%' || verb == '*' || '0' <= verb && verb <= '9' || strings.ContainsRune(" +-#.[", verb) {
				continue // flags, widths and the like: combined below
			}
			for _, flags := range []string{"", "+", "#", " ", "-", "0", "+#", "# ", "200", "-200", ".9", "200.100"} {
				if out := fmt.Sprintf("%"+flags+string(verb), c); leaks(out) {
					t.Errorf("%s: %%%s%c prints the value: %s", name, flags, verb, out)
				}
			}
		}
		wrong, surplus := "%w %v", "none" // variables, because vet refuses such formats
		for how, out := range map[string]string{
			"Sprint":   fmt.Sprint(c),
			"Sprintln": fmt.Sprintln(c, c),
			"Errorf":   fmt.Errorf(wrong, c, c).Error(),
			"extra":    fmt.Sprintf(surplus, c), //nolint:staticcheck // a surplus operand is printed as well
			"append":   string(fmt.Append(nil, c)),
			"panic":    panicText(c),
			"join":     errors.Join(fmt.Errorf("%v", c)).Error(),
		} {
			if leaks(out) {
				t.Errorf("%s: %s prints the value: %s", name, how, out)
			}
		}
	}
}

func panicText(v any) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	panic(v)
}

func TestValueSaysRedacted(t *testing.T) {
	v := secret.NewValue([]byte(canary))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		if got := fmt.Sprintf(verb, v); got != secret.Redacted {
			t.Errorf("%s gives %q", verb, got)
		}
	}
	if got := v.String() + v.GoString(); got != secret.Redacted+secret.Redacted {
		t.Errorf("String and GoString give %q", got)
	}
}

func TestValueIsNeverLogged(t *testing.T) {
	for name, c := range carriers() {
		var out bytes.Buffer
		opts := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, opts), slog.NewJSONHandler(&out, opts)} {
			l := slog.New(h).With("with", c)
			l.Info("message", "key", c)
			l.WithGroup("group").Debug("message", slog.Any("any", c), slog.Group("sub", "key", c))
			l.Error("message", c, c)
		}
		log.New(&out, "", log.Lshortfile).Printf("%v %s", c, c)
		if leaks(out.String()) {
			t.Errorf("%s is logged:\n%s", name, &out)
		}
		if !strings.Contains(out.String(), "message") {
			t.Errorf("%s: nothing was logged at all", name)
		}
	}
	if got := secret.NewValue([]byte(canary)).LogValue().String(); got != secret.Redacted {
		t.Errorf("LogValue gives %q", got)
	}
}

func TestValueIsNeverMarshalled(t *testing.T) {
	for name, c := range carriers() {
		var out bytes.Buffer
		for _, encode := range []func() error{
			func() error { return json.NewEncoder(&out).Encode(c) },
			func() error { return xml.NewEncoder(&out).Encode(c) },
			func() error { return gob.NewEncoder(&out).Encode(c) },
			func() error { return binary.Write(&out, binary.LittleEndian, c) },
			func() error { return template.Must(template.New("").Parse("{{.}} {{printf `%v` .}}")).Execute(&out, c) },
		} {
			_ = encode() // refusing and leaving out are both right
		}
		if leaks(out.String()) {
			t.Errorf("%s is marshalled:\n%s", name, &out)
		}
	}
}

func TestMarshallersFail(t *testing.T) {
	v := secret.NewValue([]byte(canary))
	for name, marshal := range map[string]func() ([]byte, error){
		"JSON":           v.MarshalJSON,
		"text":           v.MarshalText,
		"binary":         v.MarshalBinary,
		"json.Marshal":   func() ([]byte, error) { return json.Marshal(v) },
		"json of field":  func() ([]byte, error) { return json.Marshal(secret.Secret{Value: v}) },
		"json of fields": func() ([]byte, error) { return json.Marshal(map[string]any{"k": []secret.Value{v}}) },
		"xml.Marshal":    func() ([]byte, error) { return xml.Marshal(v) },
		"gob": func() ([]byte, error) {
			var out bytes.Buffer
			err := gob.NewEncoder(&out).Encode(exported{V: v})
			return nil, err
		},
	} {
		if out, err := marshal(); len(out) > 0 || err == nil || !strings.Contains(err.Error(), secret.ErrUnprintable.Error()) {
			t.Errorf("%s gives %q, %v; want ErrUnprintable", name, out, err)
		}
	}
}

func TestValueIsNotComparable(t *testing.T) {
	if reflect.TypeFor[secret.Value]().Comparable() {
		t.Error("values can be compared with ==, in a time that tells where they differ")
	}
}

func TestValueEqual(t *testing.T) {
	v := func(s string) secret.Value { return secret.NewValue([]byte(s)) }
	for _, tt := range []struct {
		a, b secret.Value
		want bool
	}{
		{v("abc"), v("abc"), true},
		{v("abc"), v("abd"), false},
		{v("abc"), v("ab"), false},
		{v("abc"), v("abc\x00"), false},
		{v(""), secret.Value{}, true},
		{secret.Value{}, secret.Value{}, true},
		{secret.Value{}, v("\x00"), false},
		{v("\xff\x00"), v("\xff\x00"), true},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%q equals %q = %v", tt.a.Reveal(), tt.b.Reveal(), got)
		}
		if tt.a.Equal(tt.b) != tt.b.Equal(tt.a) {
			t.Errorf("Equal of %q and %q is not symmetric", tt.a.Reveal(), tt.b.Reveal())
		}
	}
}

func TestValueBytes(t *testing.T) {
	b := []byte(canary)
	v := secret.NewValue(b)
	if v.Len() != len(canary) || &v.Reveal()[0] != &b[0] {
		t.Error("Reveal does not give the bytes themselves")
	}
	same, clone := v, v.Clone()
	v.Wipe()
	if want := make([]byte, len(canary)); !bytes.Equal(b, want) || !bytes.Equal(same.Reveal(), want) {
		t.Errorf("after Wipe the bytes are %q and %q", b, same.Reveal())
	}
	if string(clone.Reveal()) != canary {
		t.Errorf("after Wipe of the original its clone is %q", clone.Reveal())
	}
	var zero secret.Value
	zero.Wipe()
	if zero.Len() != 0 || zero.Reveal() != nil || zero.Clone().Len() != 0 {
		t.Error("the zero Value is not empty")
	}
}
