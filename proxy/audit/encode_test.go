package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var place = audit.Chain{Region: "eu-west-1", Instance: "node-1", Seq: 7, Prev: audit.Hash{0xab}}

const someID = "01KAM4J5Z8Q0000000000000AB"

func full() *audit.Record {
	r := audittest.Access()
	r.ID, r.Time = someID, time.Date(2026, 11, 21, 10, 0, 0, 123_456_789, time.FixedZone("", 3600))
	r.Pair, r.Count = someID, 9
	r.Via.TraceID, r.Principal.Cnf = "4bf92f3577b34da6a3ce929d0e0e4736", "thumbprint"
	r.Decision.Reason, r.Decision.Approval = "because", someID
	r.Result.Code, r.Result.Examined, r.Result.Returned = "not_found", 12, 3
	r.Anomaly = []string{"first_seen:region", "rate"}
	return r
}

// The line is a public format: what was written must verify for years.
func TestEncodeGolden(t *testing.T) {
	const path = "testdata/lines.jsonl"
	got := audit.Encode(nil, full(), place)
	got = audit.Encode(got, &audit.Record{ID: someID, Kind: audit.Access}, audit.Chain{Instance: "i", Seq: 1})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEncodeDecode(t *testing.T) {
	want := full()
	want.Chain = place
	line := audit.Encode(nil, want, place)
	var got audit.Record
	if err := audit.Decode(line, &got); err != nil {
		t.Fatal(err)
	}
	if got.Chain.Hash == (audit.Hash{}) {
		t.Error("no hash was decoded")
	}
	want.Time = want.Time.UTC().Truncate(time.Millisecond)
	want.Chain.Hash = got.Chain.Hash
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v", &got, want)
	}
}

func TestEncodeHostileText(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"plain é 漢 😀", "plain é 漢 😀"},
		{"quote\" back\\ nl\n cr\r tab\t nul\x00 esc\x1b del\x7f", `quote\" back\\ nl\n cr\r tab\t nul\u0000 esc\u001b del\u007f`},
		{"a\xffb\xc3", "a\ufffdb\ufffd"},
		{"\u2028\u2029\u0085\u202e\u2066\ufeff", `\u2028\u2029\u0085\u202e\u2066\ufeff`},
		{`","hash":"`, `\",\"hash\":\"`},
	} {
		line := audit.Encode(nil, &audit.Record{ID: someID, Kind: audit.Access, Via: audit.Via{UserAgent: row.in}}, place)
		if want := `"via":{"user_agent":"` + row.want + `"}`; !bytes.Contains(line, []byte(want)) {
			t.Errorf("%q: got %s, want %s", row.in, line, want)
		}
	}
}

func TestEncodeCuts(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{strings.Repeat("a", 128), strings.Repeat("a", 128)},
		{strings.Repeat("a", 129), strings.Repeat("a", 128)},
		{strings.Repeat("a", 127) + "é", strings.Repeat("a", 127)},
		{strings.Repeat("\xff", 99), strings.Repeat("\ufffd", 42)},
	} {
		r := audit.Record{ID: someID, Kind: audit.Access, Via: audit.Via{UserAgent: row.in}}
		var got audit.Record
		if err := audit.Decode(audit.Encode(nil, &r, place), &got); err != nil {
			t.Errorf("%q: %v", row.in, err)
		}
		if got.Via.UserAgent != row.want {
			t.Errorf("%q: got %q, want %q", row.in, got.Via.UserAgent, row.want)
		}
	}
}

// A record names the secret and its mount in full, however long a path may be.
func TestEncodeKeepsPathsWhole(t *testing.T) {
	long := strings.Repeat("a", 128) + strings.Repeat("/"+strings.Repeat("b", 95), 4)
	if _, err := secret.ParsePath(long); err != nil || len(long) != secret.MaxPathBytes {
		t.Fatalf("a path of %d bytes: %v", len(long), err)
	}
	r := audit.Record{ID: someID, Kind: audit.Access, Resource: audit.Resource{Path: long, Mount: long}}
	var got audit.Record
	if err := audit.Decode(audit.Encode(nil, &r, place), &got); err != nil {
		t.Fatal(err)
	}
	if got.Resource != r.Resource {
		t.Errorf("got %+v", got.Resource)
	}
}

// fill sets every text and number that r can hold, so that a field added later is bounded too.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1000, 1000))
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<63 - 1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(^uint64(0) >> (64 - v.Type().Bits()))
	default:
		panic("no rule for " + v.Kind().String())
	}
}

func TestEncodeBound(t *testing.T) {
	var r audit.Record
	fill(reflect.ValueOf(&r).Elem(), strings.Repeat("\x01", 10_000))
	got := len(audit.Encode(nil, &r, r.Chain)) + len(`,"key":"","sig":""`) + 64*6 + 128
	if got > audit.MaxLineBytes {
		t.Errorf("a record of %d bytes, over MaxLineBytes (%d)", got, audit.MaxLineBytes)
	}
	t.Logf("longest line: %d bytes", got)
}

// Whatever a field holds must come back: a field that the encoder forgets is a hole in the record.
func TestEncodeKnowsEveryField(t *testing.T) {
	var r, got audit.Record
	fill(reflect.ValueOf(&r).Elem(), "x")
	r.ID, r.Kind, r.Pair, r.Time = someID, audit.Birth, someID, time.UnixMilli(1).UTC()
	r.Principal.IDs, r.Anomaly = r.Principal.IDs[:audit.MaxIDs], r.Anomaly[:audit.MaxAnomalies]
	r.Decision.Duration = r.Decision.Duration.Truncate(time.Microsecond)
	r.Cache.Age = r.Cache.Age.Truncate(time.Millisecond)
	line := audit.EncodeSigned(&r)
	if err := audit.Decode(line, &got); err != nil {
		t.Fatal(err)
	}
	r.Chain.Hash = got.Chain.Hash
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got  %+v\nwant %+v", got, r)
	}
}

// Texts are looked at eight bytes at a time: where a byte stands must not matter.
func TestEncodeQuotesEachByteEverywhere(t *testing.T) {
	const length = 20
	for c := range 256 {
		alone := strings.Trim(audit.Quote(string([]byte{byte(c)}), 8), `"`)
		if c == '"' {
			alone = `\"`
		}
		for at := range length {
			before, after := strings.Repeat("~", at), strings.Repeat("!", length-1-at)
			if got, want := audit.Quote(before+string([]byte{byte(c)})+after, 64), `"`+before+alone+after+`"`; got != want {
				t.Errorf("byte %#x at %d: got %s, want %s", c, at, got, want)
			}
		}
		if got, want := audit.Quote(strings.Repeat("~", 8)+string([]byte{byte(c)}), 8), `"~~~~~~~~"`; got != want {
			t.Errorf("byte %#x behind the limit: got %s", c, got)
		}
	}
}

func TestEncodeTimes(t *testing.T) {
	for in, want := range map[time.Time]string{
		time.Date(2026, 11, 22, 3, 4, 5, 6_999_999, time.UTC):                  "2026-11-22T03:04:05.006Z",
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC):             "9999-12-31T23:59:59.999Z",
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)):      "0001-01-01T00:00:00.000Z",
		time.Date(2027, 1, 1, 0, 30, 0, 100_000_000, time.FixedZone("", 3600)): "2026-12-31T23:30:00.100Z",
		time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC):                              "0001-01-01T00:00:00.000Z",
		{}: "0001-01-01T00:00:00.000Z",
	} {
		if got := audit.Time(in); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
	for at := time.Date(1999, 12, 25, 0, 0, 0, 0, time.UTC); at.Year() < 2033; at = at.Add(37*time.Hour + 59*time.Minute + 58*time.Second + 997*time.Millisecond) {
		if got, want := audit.Time(at), at.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	r, buf := full(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = audit.Encode(buf[:0], r, place) }); n != 0 {
		t.Errorf("%v allocations a record, want 0", n)
	}
}

func TestDecodeRefuses(t *testing.T) {
	line := string(audit.Encode(nil, full(), place))
	for name, bad := range map[string]string{
		"space":         strings.Replace(line, `,"kind"`, `, "kind"`, 1),
		"unknown":       strings.Replace(line, `,"kind"`, `,"x":1,"kind"`, 1),
		"order":         strings.Replace(line, `"effect":"allow","rule":"main/web"`, `"rule":"main/web","effect":"allow"`, 1),
		"spelling":      strings.Replace(line, `"allow"`, `"\u0061llow"`, 1),
		"kind":          strings.Replace(line, `"access"`, `"acces"`, 1),
		"empty":         strings.Replace(line, `"because"`, `""`, 1),
		"upper hex":     strings.Replace(line, `"ab00`, `"AB00`, 1),
		"number":        strings.Replace(line, `"count":9`, `"count":9.0`, 1),
		"version":       strings.Replace(line, `"v":1`, `"v":2`, 1),
		"time":          strings.Replace(line, `.123Z`, `.123456Z`, 1),
		"two newlines":  line + "\n",
		"value changed": strings.Replace(line, `"read"`, `"list"`, 1),
		"array":         "[]",
		"null":          "null",
	} {
		if bad == line {
			t.Fatalf("%s: the row changes nothing", name)
		}
		var r audit.Record
		if err := audit.Decode([]byte(bad), &r); !errors.Is(err, audit.ErrNotRecord) {
			t.Errorf("%s: Decode = %v, want ErrNotRecord", name, err)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("agent", "sub", "\x00\"\\\n\u2028\xff", int64(0), uint64(1), 200, "a,b")
	f.Add(strings.Repeat("\xff", 600), "é", strings.Repeat("漢", 300), int64(-1<<62), ^uint64(0), -5, ",,")
	f.Fuzz(func(t *testing.T, a, b, c string, at int64, n uint64, status int, list string) {
		r := audit.Record{
			ID: someID, Kind: audit.Access, Time: time.Unix(at, int64(n)), Count: n, Action: a,
			Principal: audit.Principal{Trust: b, Issuer: c, Subject: a, TokenID: b, Cnf: c, IDs: []audit.ID{{a, b}, {a, c}}},
			Via:       audit.Via{Surface: a, SourceIP: b, UserAgent: c, RequestID: a, TraceID: b},
			Resource:  audit.Resource{Path: a, Version: b, Mount: c, Classification: a},
			Decision:  audit.Decision{Effect: a, Rule: b, Reason: c, PolicyDigest: a, Approval: b, Duration: time.Duration(at)},
			Cache:     audit.Cache{State: c, Age: time.Duration(at), Generation: n},
			Result:    audit.Result{Status: status, Code: a, Bytes: status, Examined: status, Returned: status},
			Anomaly:   strings.Split(list, ","),
		}
		line := audit.Encode(nil, &r, place)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' || !utf8.Valid(line) {
			t.Fatalf("not one line of UTF-8: %q", line)
		}
		if !json.Valid(line) {
			t.Fatalf("not JSON: %q", line)
		}
		if _, err := strictjson.Parse(line[:len(line)-1], strictjson.Limits{}); err != nil {
			t.Fatalf("not strict JSON: %v: %q", err, line)
		}
		var got audit.Record
		if err := audit.Decode(line, &got); err != nil {
			t.Fatalf("Decode: %v: %q", err, line)
		}
		if again := audit.Encode(nil, &got, got.Chain); !bytes.Equal(again, line) {
			t.Fatalf("got %q\nwant %q", again, line)
		}
	})
}
