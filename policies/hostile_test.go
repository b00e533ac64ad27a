package policies_test

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawHostile draws a request and breaks up to three of its counts, offsets and lengths.
func drawHostile(t *rapid.T) []byte {
	f := request("192.0.2.1", noon)
	f.slots[slotPath] = drawPath(t).String()
	f.scopes = strings.Fields(drawScopes(t).String())
	f.claims = [][2]string{{"environment", "production"}}
	f.labels = [][2]string{{"classification", "restricted"}, {"environment", "production"}}
	raw := f.encode()
	tables := 40 + 8*slots + 8*len(f.scopes) + 48
	for range rapid.IntRange(0, 3).Draw(t, "breaks") {
		at := 4 * rapid.IntRange(0, tables/4-1).Draw(t, "at")
		n := uint32(len(raw))
		v := rapid.OneOf(
			rapid.SampledFrom([]uint32{0, 1, n - 1, n, n + 1, 1 << 16, 1 << 28, 1 << 29, 1<<31 - 1, 1 << 31, 1<<32 - 8, -n, 1<<32 - 1}),
			rapid.Uint32Range(0, n+8)).Draw(t, "value")
		binary.LittleEndian.PutUint32(raw[at:], v)
	}
	return raw[:len(raw)-rapid.SampledFrom([]int{0, 0, 0, 1, 8}).Draw(t, "cut")]
}

func TestScopeSurvivesHostileRequests(t *testing.T) {
	g := newGuest(t, builtin(t, "scope"))
	seen := map[uint64]int{}
	check := func(rt *rapid.T) {
		raw := drawHostile(rt)
		want := scopeWord(raw)
		seen[want]++
		if got := g.twice(t, raw); got != want {
			rt.Errorf("word %#x, want %#x", got, want)
		}
	}
	for i := range 5 {
		reseed(t, i+1)
		rapid.Check(t, check)
	}
	if len(seen) != 3 {
		t.Errorf("drew %v: the property was not put to the test", seen)
	}
}

func TestAttributesSurvivesHostileRequests(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	mustInit(t, g, []byte(`{"version":1,"default":"abstain","rules":[
		{"name":"a","effect":"deny","when":{"claims":{"none":["x"]},"labels":{"none":["x"]}}},
		{"name":"b","effect":"deny","when":{"labels":{"none":["x"]}}},
		{"name":"c","effect":"allow","when":{"trust":["ci"],"networks":["192.0.2.0/24"],"classification":["restricted"]}}]}`))
	seen := map[uint64]int{}
	check := func(rt *rapid.T) {
		raw := drawHostile(rt)
		word := g.twice(t, raw)
		seen[word&^(1<<24)]++
		if d, ok := decode(raw); !ok || anyOutside(d) {
			if effect(word) == allow {
				rt.Errorf("allowed a request with entries outside it: %#x", word)
			}
		}
	}
	for i := range 5 {
		reseed(t, i+1)
		rapid.Check(t, check)
	}
	for _, word := range []uint64{allow | 1<<8, abstain | 2<<8, 3 << 8} {
		if seen[word] == 0 {
			t.Errorf("never drew the answer %#x: %v", word, seen)
		}
	}
}

// anyOutside reports whether an entry that the document above makes the guest read lies outside the request.
func anyOutside(d decoded) bool {
	for _, i := range []uint64{slotAction, slotPath, slotTrust, slotSourceIP} {
		if _, ok := d.slot(i); !ok {
			return true
		}
	}
	labels := 40 + 8*d.nslots + 8*d.nscopes + 16*d.nclaims
	for i := range d.labels {
		if _, ok := d.text(labels + 16*i); !ok {
			return true
		}
	}
	return false
}

// Data with a few bytes changed is refused or still JSON; what is accepted never traps.
func TestAttributesSurvivesHostileData(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	good := `{"version":1,"default":"deny","rules":[{"name":"r","effect":"require_approval","reason":"\u00e9 \"x\"","when":{"action":["read","list"],` +
		`"claims":{"a":["1"]},"networks":["10.0.0.0/8","::/0"],"time":{"days":["mon"],"from":"22:00","to":"06:00","utc_offset_minutes":-60}},` +
		`"unless":{"path":["**/x*"],"max_classification":"internal"},"obligations":{"approvers":["a","b"],"n":2,"max_ttl":900}}]}`
	mustInit(t, g, []byte(good))
	raw := request("192.0.2.1", noon).encode()
	accepted := 0
	check := func(rt *rapid.T) {
		b := []byte(good)
		for range rapid.IntRange(1, 2).Draw(rt, "changes") {
			at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
			switch c := rapid.SampledFrom([]byte("\"\\{}[]:,/0-9 aru\x00\x80\xc0\xed\xf4\xff")).Draw(rt, "byte"); rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				b[at] = c
			case 1:
				b = append(b[:at], b[at+1:]...)
			case 2:
				b = append(b[:at], append([]byte{c}, b[at:]...)...)
			case 3:
				b = b[:at+1]
			}
		}
		if g.init(b) != 0 {
			return
		}
		accepted++
		if !json.Valid(b) {
			rt.Errorf("accepted %q", b)
		}
		g.eval(raw)
	}
	for i := range 10 {
		reseed(t, i+1)
		rapid.Check(t, check)
	}
	if accepted == 0 {
		t.Error("nothing was accepted: the property was not put to the test")
	}
}
