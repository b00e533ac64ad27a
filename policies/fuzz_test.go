package policies_test

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// decoded is what a guest may believe of a raw request: a second reading of flat1, in Go.
type decoded struct {
	raw                              []byte
	nslots, nscopes, nclaims, labels uint64
}

func decode(raw []byte) (decoded, bool) {
	if len(raw) < 40 || string(raw[:4]) != "KPR1" || uint64(binary.LittleEndian.Uint32(raw[4:])) != uint64(len(raw)) {
		return decoded{}, false
	}
	n := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(raw[at:])) }
	d := decoded{raw, n(24), n(28), n(32), n(36)}
	return d, 40+8*d.nslots+8*d.nscopes+16*d.nclaims+16*d.labels <= uint64(len(raw))
}

// text reads the entry at a table offset.
func (d decoded) text(entry uint64) (string, bool) {
	off, n := uint64(binary.LittleEndian.Uint32(d.raw[entry:])), uint64(binary.LittleEndian.Uint32(d.raw[entry+4:]))
	if off+n > uint64(len(d.raw)) {
		return "", false
	}
	return string(d.raw[off : off+n]), true
}

func (d decoded) slot(i uint64) (string, bool) {
	if i >= d.nslots {
		return "", false
	}
	return d.text(40 + 8*i)
}

// scopeWord is what scope must answer to a raw request.
func scopeWord(raw []byte) uint64 {
	const malformed, uncovered, covered = 3 << 8, 2<<8 | 1<<25, 1<<8 | 1<<25 | allow
	d, ok := decode(raw)
	if !ok {
		return malformed
	}
	action, ok := d.slot(slotAction)
	if !ok || !policy.Action(action).Valid() {
		return malformed
	}
	text, ok := d.slot(slotPath)
	if !ok {
		return malformed
	}
	path, err := secret.ParsePath(text)
	if err != nil {
		return malformed
	}
	for i := range d.nscopes {
		text, ok := d.text(40 + 8*d.nslots + 8*i)
		if !ok {
			return malformed
		}
		if sc, err := policy.ParseScope(text); err == nil && (policy.Scopes{sc}).Allows(policy.Action(action), path) {
			return covered
		}
	}
	return uncovered
}

// twice evaluates raw with two fillings of the memory behind it. A guest that reads beyond the request is caught by the
// difference.
func (g *guest) twice(t *testing.T, raw []byte) uint64 {
	t.Helper()
	first := g.evalWithRest(raw, 0)
	if second := g.evalWithRest(raw, 'a'); first != second {
		t.Fatalf("%#x or %#x, by what lies behind the request", first, second)
	}
	return first
}

func seedRequests(f *testing.F) {
	good := request("192.0.2.1", noon)
	good.scopes = []string{"list:**", "read:web/*/KEY"}
	good.claims = [][2]string{{"environment", "production"}}
	good.labels = [][2]string{{"classification", "restricted"}, {"environment", "production"}}
	raw := good.encode()
	f.Add(raw)
	f.Add(raw[:39])
	f.Add([]byte{})
	patch := func(at int, v uint32) {
		b := append([]byte(nil), raw...)
		binary.LittleEndian.PutUint32(b[at:], v)
		f.Add(b)
	}
	for _, at := range []int{0, 4, 24, 28, 32, 36, 40, 44, 48, 52, 160, 164, 176, 180, 184, 188, 192, 208} {
		for _, v := range []uint32{0, 1, 0x10000000, 0x20000000, 0x7fffffff, 0xfffffff8, 0xffffffff, uint32(len(raw)), uint32(len(raw)) + 1} {
			patch(at, v)
		}
	}
}

func FuzzScopeRequest(f *testing.F) {
	base := newGuest(f, builtin(f, "scope"))
	seedRequests(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			t.Skip("the host sends no more")
		}
		g := &guest{t, base.mod}
		if got, want := g.twice(t, raw), scopeWord(raw); got != want {
			t.Errorf("word %#x, want %#x", got, want)
		}
	})
}

func FuzzAttributesRequest(f *testing.F) {
	base := newGuest(f, builtin(f, "attributes"))
	mustInit(f, base, []byte(`{"version":1,"rules":[
		{"name":"a","effect":"deny","when":{"action":["approve"],"path":["**/x*"],"min_classification":"restricted","networks":["2001:db8::/32"]}},
		{"name":"b","effect":"require_approval","when":{"claims":{"c":["d"]},"labels":{"l":["m"]},"time":{"days":["sun"],"from":"22:00","to":"06:00"}}},
		{"name":"c","effect":"allow","when":{"trust":["ci"],"environment":["production"],"classification":["restricted"]},"unless":{"networks":["10.0.0.0/8"]}}]}`))
	seedRequests(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			t.Skip("the host sends no more")
		}
		g := &guest{t, base.mod}
		word := g.twice(t, raw)
		d, ok := decode(raw)
		path, readable := d.slot(slotPath)
		if _, err := secret.ParsePath(path); (!ok || !readable || err != nil) && word != 3<<8 {
			t.Errorf("word %#x for a malformed request", word)
		}
		if code(word) == 1 {
			checkDetail(t, g.detail())
		} else if word != 2<<8 && word != 3<<8 {
			t.Errorf("word %#x", word)
		}
	})
}

func checkDetail(t *testing.T, text string) {
	t.Helper()
	var v struct{ Rule string }
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Rule == "" {
		t.Errorf("detail %q: %v", text, err)
	}
}

// Whatever data is accepted is JSON, decides without a trap, and gives details that are JSON.
func FuzzAttributesData(f *testing.F) {
	base := newGuest(f, builtin(f, "attributes"))
	f.Add(`{"version":1,"default":"abstain","rules":[{"name":"r","effect":"deny","reason":"\ud83d\udd11 é \" \\","when":{"action":["read"],"path":["**/K*"],
		"environment":["production"],"min_classification":"internal","max_classification":"restricted","classification":["public"]},"unless":{"trust":["ci"]}}]}`)
	f.Add(`{"version":1,"rules":[{"name":"r","effect":"require_approval","obligations":{"approvers":["a\"b"],"n":2,"max_ttl":900},"when":{"claims":{"a":["1"]},
		"labels":{"b":["2"]},"networks":["10.0.0.0/8","2001:db8::/32","::ffff:0:0/96"],"time":{"days":["mon"],"from":"22:00","to":"06:00","utc_offset_minutes":-60}}}]}`)
	f.Add(`{"version":1,"rules":[{"name":"all","effect":"allow"}]}`)
	r := request("192.0.2.1", noon)
	r.labels = [][2]string{{"classification", "public"}, {"environment", "production"}}
	raw := r.encode()
	f.Fuzz(func(t *testing.T, data string) {
		if len(data) > 64<<10 {
			t.Skip("the buffer holds no more")
		}
		g := &guest{t, base.mod}
		if got := g.init([]byte(data)); got != 0 {
			if problem, at := got>>16, int(got&0xffff); problem < syntax || problem > combination || at > len(data) {
				t.Errorf("problem %d at byte %d of %d", problem, at, len(data))
			}
			if word := g.eval(raw); word != 4<<8 {
				t.Errorf("word %#x after refused data", word)
			}
			return
		}
		if !json.Valid([]byte(data)) {
			t.Errorf("accepted what is not JSON")
		}
		if word := g.eval(raw); code(word) == 1 {
			checkDetail(t, g.detail())
		}
	})
}

// What the json guest allows, the request's own scopes allow as encoding/json reads them.
func FuzzScopeJSONRequest(f *testing.F) {
	base := newGuest(f, jsonGuest(f))
	f.Add(encodeJSON(f, "read", "web/production/KEY", []string{"list:**", "read:web/*/KEY"}))
	f.Add(encodeJSON(f, "read", "a", nil))
	f.Add([]byte(`{"action":"read","secret":{"path":"a"},"principal":{"scopes":["read:a"],"x":[[{"y":[]},1],{}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			t.Skip("the host sends no more")
		}
		g := &guest{t, base.mod}
		if word := g.twice(t, raw); effect(word) != allow || !json.Valid(raw) {
			return
		}
		var action, text string
		var texts []string
		member(t, raw, &action, "action")
		member(t, raw, &text, "secret", "path")
		member(t, raw, &texts, "principal", "scopes")
		path, err := secret.ParsePath(text)
		if err != nil {
			t.Fatalf("allowed the path %q: %v", text, err)
		}
		for _, s := range texts {
			if sc, err := policy.ParseScope(s); err == nil && (policy.Scopes{sc}).Allows(policy.Action(action), path) {
				return
			}
		}
		t.Errorf("allowed %s", raw)
	})
}

// member reads one member by its exact name: decoding into a struct would fold case.
func member(t *testing.T, raw []byte, into any, names ...string) {
	t.Helper()
	for _, name := range names {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		raw = m[name]
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}
