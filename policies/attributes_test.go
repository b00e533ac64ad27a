package policies_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// one returns a document with one rule.
func one(effect, conditions string) []byte {
	return fmt.Appendf(nil, `{"version":1,"default":"abstain","rules":[{"name":"r","effect":%q,%s}]}`, effect, conditions)
}

func mustInit(t testing.TB, g *guest, data []byte) {
	t.Helper()
	if got := g.init(data); got != 0 {
		t.Fatalf("policy_init: problem %d at byte %d of %s", got>>16, got&0xffff, data)
	}
}

func request(ip string, at time.Time) flat {
	return flat{nowMS: at.UnixMilli(), slots: map[int]string{slotAction: "read", slotPath: "web/production/KEY", slotTrust: "ci", slotSourceIP: ip}}
}

var noon = time.Date(2025, 11, 21, 12, 0, 0, 0, time.UTC)

// Four-byte and sixteen-byte addresses with few distinct bits, so that prefixes contain them often.
func drawAddr(t *rapid.T) netip.Addr {
	bits := rapid.SampledFrom([]byte{0, 1, 0x80, 0xff})
	switch rapid.IntRange(0, 3).Draw(t, "family") {
	case 0:
		return netip.AddrFrom4([4]byte{bits.Draw(t, "a"), bits.Draw(t, "b"), bits.Draw(t, "c"), bits.Draw(t, "d")})
	case 1:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: bits.Draw(t, "a"), 15: bits.Draw(t, "b")})
	}
	var a [16]byte
	for i := range a {
		a[i] = bits.Draw(t, "byte")
	}
	return netip.AddrFrom16(a)
}

func drawAddrText(t *rapid.T, a netip.Addr) string {
	if a.Is6() && rapid.Bool().Draw(t, "expanded") {
		return a.StringExpanded()
	}
	return a.String()
}

func TestAttributesNetworksAgreeWithNetip(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		addr, base := drawAddr(t), drawAddr(t)
		if rapid.Bool().Draw(t, "near") {
			base = addr
		}
		low := 0
		if base.Is4In6() {
			low = 96 // a mapped prefix is an IPv4 prefix
		}
		bits := rapid.IntRange(low, base.BitLen()).Draw(t, "bits")
		masked := netip.PrefixFrom(base.Unmap(), bits-base.BitLen()+base.Unmap().BitLen()).Masked()
		text := fmt.Sprintf("%s/%d", drawAddrText(t, masked.Addr()), masked.Bits())
		if base.Is4In6() {
			text = fmt.Sprintf("::ffff:%s/%d", masked.Addr(), bits)
		}
		want := masked.Contains(addr.Unmap())
		seen[want]++
		mustInit(g.t, g, one("deny", fmt.Sprintf(`"when":{"networks":[%q]}`, text)))
		if got := effect(g.eval(request(drawAddrText(t, addr), noon).encode())) == deny; got != want {
			t.Fatalf("%s contains %s: got %v, want %v", text, addr, got, want)
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("drew %v: the property was not put to the test", seen)
	}
}

// What is an address and what is not must be what netip says (zones apart, which the host strips): unknown under deny is
// a deny, so the rule tells the two apart by a network that contains nothing else.
func TestAttributesAddressSyntaxAgreesWithNetip(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	mustInit(t, g, one("deny", `"when":{"networks":["203.0.113.255/32"]}`))
	check := func(t interface{ Errorf(string, ...any) }, s string) {
		addr, err := netip.ParseAddr(s)
		want := err == nil && addr.Zone() == "" && addr.Unmap() != netip.MustParseAddr("203.0.113.255")
		if got := effect(g.eval(request(s, noon).encode())) == abstain; got != want {
			t.Errorf("address %q: understood %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{
		"", ":", "::", ":::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::",
		"::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:203.0.113.255", "::1.2.3.4:5", "::1.2.3", "1.2.3.4", "01.2.3.4", "1.2.3",
		"1.2.3.4.5", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/32", "fe80::1%eth0", "1.2.3.", ".1.2.3", "0.0.0.0", "00.0.0.0", "1:2:3:4:5:6:7:", ":2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::8", "::1:2:3:4:5:6:7:8", "\x00", "1.2.3.4\x00", "4294967297.0.0.0", "0x1.2.3.4",
	} {
		check(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`[0-9a-f:.]{0,24}|([0-9a-f]{0,4}:){2,8}[0-9a-f.]{0,9}`).Draw(t, "text"))
	})
}

func TestAttributesPatternsAgreeWithConfigPatterns(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		text, path := drawPattern(t, "pattern"), drawPath(t)
		pattern, err := secret.ParseConfigPattern(text)
		data := one("deny", fmt.Sprintf(`"when":{"path":[%q]}`, text))
		if got := g.init(data) == 0; got != (err == nil) {
			t.Fatalf("pattern %q: accepted %v, ParseConfigPattern says %v", text, got, err)
		}
		if err != nil {
			seen["refused"]++
			return
		}
		want := pattern.Match(path)
		seen[fmt.Sprint(want)]++
		r := request("192.0.2.1", noon)
		r.slots[slotPath] = path.String()
		if got := effect(g.eval(r.encode())) == deny; got != want {
			t.Fatalf("%q matches %q: got %v, want %v", text, path, got, want)
		}
	})
	if seen["refused"] == 0 || seen["true"] == 0 || seen["false"] == 0 {
		t.Errorf("drew %v: the property was not put to the test", seen)
	}
}

// inWindow says what the documentation says, by the standard library's calendar: minute by minute, a window belongs to
// the day on which it opened.
func inWindow(at time.Time, days []string, from, to, offset int) bool {
	local := at.In(time.FixedZone("", offset*60))
	opened := func(day time.Time) bool {
		name := strings.ToLower(day.Weekday().String()[:3])
		for _, d := range days {
			if d == name {
				return true
			}
		}
		return len(days) == 0
	}
	for _, back := range []int{0, 1} {
		day := local.AddDate(0, 0, -back)
		start := time.Date(day.Year(), day.Month(), day.Day(), 0, from, 0, 0, day.Location())
		end := time.Date(day.Year(), day.Month(), day.Day(), 0, to, 0, 0, day.Location())
		if to <= from {
			end = end.AddDate(0, 0, 1)
		}
		if opened(day) && !local.Before(start) && local.Before(end) {
			return true
		}
	}
	return false
}

func TestAttributesTimeAgreesWithTheCalendar(t *testing.T) {
	g := newGuest(t, builtin(t, "attributes"))
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}), 0, 7, rapid.ID).Draw(t, "days")
		from := rapid.IntRange(0, 24*60-1).Draw(t, "from")
		to := rapid.IntRange(0, 24*60).Draw(t, "to")
		if to == from {
			t.Skip("refused")
		}
		offset := rapid.IntRange(-14*60, 14*60).Draw(t, "offset")
		at := time.UnixMilli(rapid.Int64Range(1, 253402300799999).Draw(t, "at")).UTC()
		if rapid.Bool().Draw(t, "edge") {
			local := at.In(time.FixedZone("", offset*60))
			at = time.Date(local.Year(), local.Month(), local.Day(), 0, rapid.SampledFrom([]int{from, to}).Draw(t, "which"), 0, 0, local.Location())
			at = at.Add(time.Duration(rapid.IntRange(-1, 0).Draw(t, "before")) * time.Millisecond)
			if at.UnixMilli() < 1 || at.UnixMilli() > 253402300799999 {
				t.Skip("moved out of the years that are judged")
			}
		}
		window := map[string]any{"from": hhmm(from), "to": hhmm(to), "utc_offset_minutes": offset}
		if len(days) > 0 {
			window["days"] = days
		}
		text, err := json.Marshal(window)
		if err != nil {
			t.Fatal(err)
		}
		want := inWindow(at, days, from, to, offset)
		seen[want]++
		mustInit(g.t, g, one("deny", `"when":{"time":`+string(text)+`}`))
		if got := effect(g.eval(request("192.0.2.1", at).encode())) == deny; got != want {
			t.Fatalf("%s at %s: got %v, want %v", text, at.Format(time.RFC3339Nano), got, want)
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("drew %v: the property was not put to the test", seen)
	}
}

func hhmm(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }
