package secret_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

func field(name, v string) secret.Field { return secret.Field{Name: name, Value: value(v)} }

// numbered makes n fields in order, each with a value of size bytes.
func numbered(n, size int) []secret.Field {
	out := make([]secret.Field, n)
	for i := range out {
		out[i] = field(fmt.Sprintf("f%04d", i), strings.Repeat("x", size))
	}
	return out
}

func metadata(n, size int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprintf("m%04d", i)] = strings.Repeat("x", size)
	}
	return m
}

func TestSecretCheckAccepts(t *testing.T) {
	for name, s := range map[string]*secret.Secret{
		"empty value":      {},
		"binary value":     {Value: value("\xff\x00")},
		"no fields":        {Fields: []secret.Field{}},
		"empty field":      {Fields: []secret.Field{field("a", "")}},
		"order":            {Fields: []secret.Field{field("B", "1"), field("a", "2"), field("a b", "3"), field("ä", "é")}},
		"largest value":    {Value: secret.NewValue(make([]byte, secret.MaxValueBytes))},
		"largest fields":   {Fields: []secret.Field{field("name", strings.Repeat("x", secret.MaxValueBytes-4))}},
		"most fields":      {Fields: numbered(secret.MaxFields, 1)},
		"longest name":     {Fields: []secret.Field{field(strings.Repeat("n", secret.MaxFieldNameBytes), "")}},
		"most metadata":    {Metadata: metadata(secret.MaxMetadataEntries, 1)},
		"largest metadata": {Metadata: map[string]string{"n": strings.Repeat("x", secret.MaxMetadataBytes-1)}},
		"metadata text":    {Metadata: map[string]string{"note": "two\nlines"}},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretCheckRefuses(t *testing.T) {
	for name, s := range map[string]*secret.Secret{
		"value too large":     {Value: secret.NewValue(make([]byte, secret.MaxValueBytes+1))},
		"fields too large":    {Fields: []secret.Field{field("name", strings.Repeat("x", secret.MaxValueBytes-3))}},
		"sum too large":       {Fields: numbered(secret.MaxFields, secret.MaxValueBytes/secret.MaxFields)},
		"too many fields":     {Fields: numbered(secret.MaxFields+1, 1)},
		"value and fields":    {Value: value("a"), Fields: []secret.Field{field("a", "")}},
		"no name":             {Fields: []secret.Field{field("", "v")}},
		"name too long":       {Fields: []secret.Field{field(strings.Repeat("n", secret.MaxFieldNameBytes+1), "")}},
		"name not UTF-8":      {Fields: []secret.Field{field("\xff", "v")}},
		"name with newline":   {Fields: []secret.Field{field("a\nb", "v")}},
		"name with NUL":       {Fields: []secret.Field{field("a\x00", "v")}},
		"name with DEL":       {Fields: []secret.Field{field("a\x7f", "v")}},
		"name with C1":        {Fields: []secret.Field{field("a\u0085b", "v")}},
		"name with bidi":      {Fields: []secret.Field{field("a\u202eb", "v")}},
		"value not UTF-8":     {Fields: []secret.Field{field("a", "\xff")}},
		"repeated name":       {Fields: []secret.Field{field("a", "1"), field("a", "2")}},
		"out of order":        {Fields: []secret.Field{field("b", "1"), field("a", "2")}},
		"too much metadata":   {Metadata: metadata(secret.MaxMetadataEntries+1, 1)},
		"metadata too large":  {Metadata: map[string]string{"n": strings.Repeat("x", secret.MaxMetadataBytes)}},
		"metadata without":    {Metadata: map[string]string{"": "v"}},
		"metadata name":       {Metadata: map[string]string{"a\tb": "v"}},
		"metadata long name":  {Metadata: map[string]string{strings.Repeat("n", secret.MaxFieldNameBytes+1): ""}},
		"metadata not UTF-8":  {Metadata: map[string]string{"a": "\xff"}},
		"metadata name UTF-8": {Metadata: map[string]string{"\xff": "v"}},
	} {
		if err := s.Check(); !errors.Is(err, secret.ErrInvalidSecret) {
			t.Errorf("%s: %v, want ErrInvalidSecret", name, err)
		}
	}
}

func TestSecretCheckTellsTooLarge(t *testing.T) {
	s := &secret.Secret{Value: secret.NewValue(make([]byte, secret.MaxValueBytes+1))}
	if err := s.Check(); !errors.Is(err, secret.ErrTooLarge) {
		t.Errorf("Check = %v, want ErrTooLarge", err)
	}
}

// An error may name a field, never quote what is in it.
func TestSecretCheckErrorsHoldNoValue(t *testing.T) {
	for _, s := range []*secret.Secret{
		{Fields: []secret.Field{field("a", canary+"\xff")}},
		{Fields: []secret.Field{field("a", canary), field("a", canary)}},
		{Fields: []secret.Field{field("", canary)}},
	} {
		if err := s.Check(); err == nil || leaks(err.Error()) {
			t.Errorf("Check = %v", err)
		}
	}
}

func TestSecretFieldAndSize(t *testing.T) {
	s := &secret.Secret{Fields: []secret.Field{field("user", "ann"), field("b", ""), field("pass", "pw")}}
	secret.SortFields(s.Fields)
	if err := s.Check(); err != nil {
		t.Fatalf("Check after SortFields: %v", err)
	}
	for name, want := range map[string]string{"user": "ann", "b": "", "pass": "pw"} {
		if got, ok := s.Field(name); !ok || string(got.Reveal()) != want {
			t.Errorf("Field(%q) = %q, %v", name, got.Reveal(), ok)
		}
	}
	for _, name := range []string{"", "a", "passw", "zzz"} {
		if got, ok := s.Field(name); ok {
			t.Errorf("Field(%q) = %q", name, got.Reveal())
		}
	}
	if got, want := s.Size(), len("user")+len("ann")+len("b")+len("pass")+len("pw"); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
	if got := (&secret.Secret{Value: value("12345")}).Size(); got != 5 {
		t.Errorf("Size() of a value = %d, want 5", got)
	}
}

func TestSecretCloneOutlivesWipe(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for _, s := range []*secret.Secret{
		{Value: value("v"), Version: "3", CreatedAt: at, Metadata: map[string]string{"owner": "ann"}},
		{Fields: []secret.Field{field("a", "1"), field("b", "2")}, Version: "3", CreatedAt: at},
		{Fields: []secret.Field{}},
	} {
		c := s.Clone()
		if (c.Fields == nil) != (s.Fields == nil) || (c.Metadata == nil) != (s.Metadata == nil) {
			t.Error("the clone confuses nil with empty")
		}
		if c.Version != s.Version || !c.CreatedAt.Equal(s.CreatedAt) || c.Metadata["owner"] != s.Metadata["owner"] {
			t.Errorf("clone is %+v", c)
		}
		before := reveal(s)
		s.Wipe()
		if s.Metadata != nil {
			s.Metadata["owner"] = "bob"
		}
		if got := reveal(c); got != before {
			t.Errorf("after Wipe the clone holds %q, want %q", got, before)
		}
		if got := reveal(s); strings.Trim(got, "\x00=ab;") != "" {
			t.Errorf("after Wipe the secret holds %q", got)
		}
		if c.Metadata != nil && c.Metadata["owner"] != "ann" {
			t.Error("the clone shares its metadata")
		}
	}
}

func reveal(s *secret.Secret) string {
	out := string(s.Value.Reveal())
	for _, f := range s.Fields {
		out += f.Name + "=" + string(f.Value.Reveal()) + ";"
	}
	return out
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]secret.Version{
		"": secret.Current, "current": secret.Current, "previous": secret.Previous, "7": "7",
		"A1b2-C3.d_4":            "A1b2-C3.d_4",
		strings.Repeat("v", 128): secret.Version(strings.Repeat("v", 128)),
	} {
		if got, err := secret.ParseVersion(in); err != nil || got != want {
			t.Errorf("ParseVersion(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"a/b", "a b", "1\n", "é", "%31", strings.Repeat("v", 129)} {
		if got, err := secret.ParseVersion(in); !errors.Is(err, secret.ErrInvalidVersion) || got != "" {
			t.Errorf("ParseVersion(%q) = %q, %v, want ErrInvalidVersion", in, got, err)
		}
	}
}

func TestCompareNumbers(t *testing.T) {
	for _, tt := range []struct {
		a, b secret.Version
		want int
	}{{"9", "10", -1}, {"10", "9", 1}, {"7", "7", 0}, {"x", "1", 0}, {"1", "x", 0}, {"-1", "1", 0}, {"18446744073709551616", "1", 0}} {
		if got := secret.CompareNumbers(tt.a, tt.b); got != tt.want {
			t.Errorf("CompareNumbers(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
