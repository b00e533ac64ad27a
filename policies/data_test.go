package policies_test

import (
	"fmt"
	"strings"
	"testing"
)

// Problems as README.md lists them.
const (
	syntax = iota + 1
	unknown
	repeated
	value
	missing
	tooLarge
	combination
)

func doc(rules ...string) string {
	return `{"version":1,"rules":[` + strings.Join(rules, ",") + `]}`
}

func when(conditions string) string {
	return doc(`{"name":"r","effect":"deny","when":{` + conditions + `}}`)
}

func TestAttributesRefusesData(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	many := func(n int, format string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(parts, ",")
	}
	for _, row := range []struct {
		name, data string
		problem    int32
		at         string // what stands at the reported byte; "" for anything
	}{
		{"more than the arena", doc(many(100, `{"name":"r%d","effect":"deny","when":{"trust":[`+many(64, `"%[1]d"`)+`]}}`)), tooLarge, ""},
		{"nothing", ``, syntax, ""},
		{"no version", `{"rules":[]}`, missing, ""},
		{"no rules", `{"version":1}`, missing, ""},
		{"later version", `{"version":2,"rules":[]}`, value, "2"},
		{"version in words", `{"version":"1","rules":[]}`, syntax, `"1"`},
		{"version with a fraction", `{"version":1.0,"rules":[]}`, value, "1.0"},
		{"huge version", `{"version":1` + strings.Repeat("0", 400) + `,"rules":[]}`, value, "100"},
		{"exponent", `{"version":1e0,"rules":[]}`, value, "1e0"},
		{"leading zero", `{"version":01,"rules":[]}`, syntax, "01"},
		{"two documents", doc() + `{}`, syntax, `{}`},
		{"unknown name", `{"version":1,"rules":[],"defualt":"deny"}`, unknown, `"defualt"`},
		{"name in another case", `{"version":1,"Rules":[]}`, unknown, `"Rules"`},
		{"name with an escape", `{"version":1,"r\u0075les":[]}`, unknown, `"r\u`},
		{"name twice", `{"version":1,"rules":[],"rules":[]}`, repeated, `"rules":[]}`},
		{"default allow", `{"version":1,"default":"allow","rules":[]}`, value, `"allow"`},
		{"trailing comma", `{"version":1,"rules":[],}`, syntax, "}"},
		{"deep arrays", `{"version":1,"rules":` + strings.Repeat("[", 30000), syntax, "["},
		{"deep objects", strings.Repeat(`{"rules":`, 5000), syntax, "{"},
		{"unterminated", `{"version":1,"rules":[{"name":"r`, syntax, ""},
		{"ends in a backslash", `{"version":1,"rules":[{"name":"r\`, syntax, ""},
		{"mistyped condition", when(`"netwroks":["10.0.0.0/8"]`), unknown, `"netwroks"`},
		{"condition twice", when(`"action":["read"],"action":["list"]`), repeated, `"action":["list"]`},
		{"empty when", when(``), value, "{}"},
		{"empty unless", doc(`{"name":"r","effect":"deny","unless":{}}`), value, "{}"},
		{"empty list", when(`"trust":[]`), value, "[]"},
		{"empty word", when(`"trust":[""]`), value, `""`},
		{"word for a list", when(`"trust":"ci"`), syntax, `"ci"`},
		{"null list", when(`"trust":null`), syntax, `null`},
		{"no such action", when(`"action":["read","delete"]`), value, `["read"`},
		{"no such level", when(`"classification":["secret"]`), value, `["secret"`},
		{"no such maximum", when(`"max_classification":"top"`), value, `"top"`},
		{"empty range", when(`"max_classification":"public","min_classification":"restricted"`), combination, "{"},
		{"bad pattern", when(`"path":["a/**/b"]`), value, `["a/`},
		{"no claims", when(`"claims":{}`), value, "{}"},
		{"claim twice", when(`"claims":{"a":["1"],"a":["2"]}`), repeated, `"a":["2"]`},
		{"claim twice by escape", when(`"claims":{"a":["1"],"\u0061":["2"]}`), repeated, `"\u0061"`},
		{"empty claim", when(`"claims":{"":["1"]}`), value, `""`},
		{"host bits", when(`"networks":["10.0.0.1/8"]`), value, `["10.`},
		{"no prefix length", when(`"networks":["10.0.0.0"]`), value, `["10.`},
		{"prefix too long", when(`"networks":["10.0.0.0/33"]`), value, `["10.`},
		{"prefix with a zero", when(`"networks":["10.0.0.0/08"]`), value, `["10.`},
		{"mapped prefix too short", when(`"networks":["::ffff:0:0/95"]`), value, `["::`},
		{"v6 host bits", when(`"networks":["2001:db8::1/32"]`), value, `["2001`},
		{"empty time", when(`"time":{}`), missing, "{}"},
		{"offset alone", when(`"time":{"utc_offset_minutes":60}`), missing, `{"utc`},
		{"offset too far", when(`"time":{"days":["mon"],"utc_offset_minutes":841}`), value, "841"},
		{"from without to", when(`"time":{"from":"08:00"}`), combination, `{"from`},
		{"never or always", when(`"time":{"from":"08:00","to":"08:00"}`), combination, `{"from`},
		{"half past 25", when(`"time":{"from":"25:30","to":"08:00"}`), value, `"25`},
		{"from at 24", when(`"time":{"from":"24:00","to":"08:00"}`), value, `"24`},
		{"to after 24", when(`"time":{"from":"08:00","to":"24:01"}`), value, `"24`},
		{"minute 60", when(`"time":{"from":"08:60","to":"10:00"}`), value, `"08`},
		{"short time", when(`"time":{"from":"8:00","to":"10:00"}`), value, `"8`},
		{"no such day", when(`"time":{"days":["Monday"]}`), value, `["Mon`},
		{"unnamed rule", doc(`{"effect":"deny"}`), missing, "{"},
		{"rule without effect", doc(`{"name":"r"}`), missing, "{"},
		{"no such effect", doc(`{"name":"r","effect":"permit"}`), value, `"permit"`},
		{"effect abstain", doc(`{"name":"r","effect":"abstain"}`), value, `"abstain"`},
		{"name with a slash", doc(`{"name":"a/b","effect":"deny"}`), value, `"a/b"`},
		{"empty name", doc(`{"name":"","effect":"deny"}`), value, `""`},
		{"long name", doc(`{"name":"` + strings.Repeat("n", 65) + `","effect":"deny"}`), tooLarge, "nnn"},
		{"reserved name", doc(`{"name":"error","effect":"deny"}`), value, `"error"`},
		{"name of another rule", doc(`{"name":"r","effect":"deny"}`, `{"name":"r","effect":"allow"}`), repeated, `"r","effect":"allow"`},
		{"obligations of a denial", doc(`{"name":"r","effect":"deny","obligations":{"n":1}}`), combination, `{"name"`},
		{"no obligations", doc(`{"name":"r","effect":"require_approval","obligations":{}}`), value, "{}"},
		{"nobody needed", doc(`{"name":"r","effect":"require_approval","obligations":{"n":0}}`), value, "0"},
		{"minus one", doc(`{"name":"r","effect":"require_approval","obligations":{"n":-1}}`), value, "-1"},
		{"too many needed", doc(`{"name":"r","effect":"require_approval","obligations":{"n":33}}`), value, "33"},
		{"endless grant", doc(`{"name":"r","effect":"require_approval","obligations":{"max_ttl":2592001}}`), value, "2592001"},
		{"unprintable approver", doc(`{"name":"r","effect":"require_approval","obligations":{"approvers":["é"]}}`), value, `["`},
		{"long reason", doc(`{"name":"r","effect":"deny","reason":"` + strings.Repeat("é", 129) + `"}`), tooLarge, "é"},
		{"newline in a reason", doc(`{"name":"r","effect":"deny","reason":"a\nb"}`), syntax, ""},
		{"control in a reason", doc(`{"name":"r","effect":"deny","reason":"a\u001bb"}`), syntax, ""},
		{"delete in a reason", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"a\x7fb\"}"), syntax, ""},
		{"lone surrogate", doc(`{"name":"r","effect":"deny","reason":"\ud83d"}`), syntax, ""},
		{"low surrogate first", doc(`{"name":"r","effect":"deny","reason":"\udd11\ud83d"}`), syntax, ""},
		{"high surrogate twice", doc(`{"name":"r","effect":"deny","reason":"\ud83d\ud83d"}`), syntax, ""},
		{"short escape", doc(`{"name":"r","effect":"deny","reason":"\u00"}`), syntax, ""},
		{"not UTF-8", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"\xff\"}"), syntax, ""},
		{"long form of a slash", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"\xc0\xaf\"}"), syntax, ""},
		{"surrogate in UTF-8", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"\xed\xa0\x80\"}"), syntax, ""},
		{"cut UTF-8", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"\xf0\x9f\"}"), syntax, ""},
		{"beyond Unicode", doc("{\"name\":\"r\",\"effect\":\"deny\",\"reason\":\"\xf4\x90\x80\x80\"}"), syntax, ""},
		{"129 rules", doc(many(129, `{"name":"r%d","effect":"deny"}`)), tooLarge, `{"name":"r128"`},
		{"65 values", when(`"trust":[` + many(65, `"%d"`) + `]`), tooLarge, `"64"`},
		{"17 claims", when(`"claims":{` + many(17, `"%d":["x"]`) + `}`), tooLarge, `"16"`},
		{"17 approvers", doc(`{"name":"r","effect":"require_approval","obligations":{"approvers":[` + many(17, `"%d"`) + `]}}`), tooLarge, `"16"`},
		{"long value", when(`"trust":["` + strings.Repeat("v", 513) + `"]`), tooLarge, "vvv"},
	} {
		if len(row.data) > 64<<10 {
			t.Fatalf("%s: %d bytes do not fit the buffer", row.name, len(row.data))
		}
		got := g.init([]byte(row.data))
		if got>>16 != row.problem {
			t.Errorf("%s: problem %d at byte %d, want problem %d", row.name, got>>16, got&0xffff, row.problem)
			continue
		}
		if at := row.data[got&0xffff:]; !strings.HasPrefix(at, row.at) {
			t.Errorf("%s: reported at %.30q, want at %q", row.name, at, row.at)
		}
		if word := g.eval(request("192.0.2.1", noon).encode()); effect(word) != deny || code(word) != 4 {
			t.Errorf("%s: word %#x after refused data, want deny as unconfigured", row.name, word)
		}
	}
}

func TestAttributesTakesDataAtItsLimits(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	var rules []string
	for i := range 128 {
		rules = append(rules, fmt.Sprintf(`{"name":"r%d","effect":"deny","when":{"claims":{"c%d":["v"]}}}`, i, i))
	}
	mustInit(t, g, []byte(doc(rules...)))
	r := request("192.0.2.1", noon)
	r.claims = [][2]string{{"c127", "v"}}
	if word := g.eval(r.encode()); effect(word) != deny || code(word) != 1 {
		t.Errorf("word %#x, want deny by the last rule", word)
	}
	if got, want := g.detail(), `{"rule":"r127"}`; got != want {
		t.Errorf("detail %s, want %s", got, want)
	}
	approvers := strings.Repeat(`"`+strings.Repeat(`\"`, 128)+`",`, 16)
	mustInit(t, g, []byte(doc(`{"name":"r","effect":"require_approval","reason":"`+strings.Repeat(`\\`, 256)+
		`","obligations":{"approvers":[`+strings.TrimSuffix(approvers, ",")+`],"n":32,"max_ttl":2592000}}`)))
	if word := g.eval(r.encode()); effect(word) != requireApproval {
		t.Fatalf("word %#x, want require_approval", word)
	}
	if got := len(g.detail()); got < 4096 || got > 16<<10 {
		t.Errorf("detail of %d bytes", got)
	}
}

func TestAttributesWithoutDataDenies(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	if word := g.eval(request("192.0.2.1", noon).encode()); effect(word) != deny || code(word) != 4 {
		t.Errorf("word %#x, want deny as unconfigured", word)
	}
}

func TestGuestsRefuseForeignBuffers(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	if got := g.call("policy_buffer", 64<<10+1); got != 0 {
		t.Errorf("policy_buffer gave %#x for more than 64 KiB", got)
	}
	ptr := g.put([]byte(doc()), 0)
	for _, row := range [][2]uint64{{ptr + 1, 10}, {ptr, 64<<10 + 1}, {ptr, 1<<32 - 1}, {0, 10}, {1<<32 - 1, 2}} {
		if got := int32(g.call("policy_init", row[0], row[1])); got>>16 != tooLarge {
			t.Errorf("policy_init(%#x, %d) answered %#x", row[0], row[1], got)
		}
		mustInit(t, g, []byte(doc(`{"name":"all","effect":"allow"}`)))
		g.put(request("192.0.2.1", noon).encode(), 0)
		if word := g.call("policy_eval", row[0], row[1]); word != 3<<8 {
			t.Errorf("policy_eval(%#x, %d) answered %#x, want deny as malformed", row[0], row[1], word)
		}
	}
}
