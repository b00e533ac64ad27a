package policies_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var actions = []policy.Action{policy.Read, policy.List, policy.WriteTo, policy.Invalidate, policy.Revoke, policy.Approve}

// Few letters, so that patterns and paths meet often.
var segment = rapid.StringMatching(`[ab.]{1,3}`)

func drawPath(t *rapid.T) secret.Path {
	s := strings.Join(rapid.SliceOfN(segment, 1, 5).Draw(t, "path"), "/")
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Skip("not a path")
	}
	return p
}

func drawPattern(t *rapid.T, label string) string {
	seg := rapid.OneOf(segment, rapid.StringMatching(`[ab.]{0,2}\*`), rapid.Just("**"))
	return strings.Join(rapid.SliceOfN(seg, 1, 5).Draw(t, label), "/")
}

func drawScopes(t *rapid.T) policy.Scopes {
	var out policy.Scopes
	for range rapid.IntRange(0, 4).Draw(t, "scopes") {
		p, err := secret.ParsePattern(drawPattern(t, "pattern"))
		if err != nil {
			continue
		}
		out = append(out, policy.Scope{Action: rapid.SampledFrom(actions).Draw(t, "scope action"), Pattern: p})
	}
	return out
}

func encodeJSON(t testing.TB, action, path string, scopes []string) []byte {
	t.Helper()
	if scopes == nil {
		scopes = []string{}
	}
	b, err := json.Marshal(map[string]any{
		"version": 1, "action": action,
		"secret": map[string]any{"path": path, "mount": "a\"}]", "version": "", "labels": map[string]string{"k\\\"": "{["}},
		"principal": map[string]any{
			"trust": "", "issuer": "", "subject": "é\n", "scopes": scopes, "claims": map[string]string{}, "token_expires": -1,
			"authenticated_by": "",
		},
		"context": map[string]any{"time_ms": 0, "anomaly": 0, "approval": nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScopeAgreesWithScopesAllows(t *testing.T) {
	flat1, viaJSON := newGuest(t, builtin(t, "scope")), newGuest(t, jsonGuest(t))
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		action, path, scopes := rapid.SampledFrom(actions).Draw(t, "action"), drawPath(t), drawScopes(t)
		want, texts := scopes.Allows(action, path), strings.Fields(scopes.String())
		seen[want]++
		word := flat1.eval(flat{slots: map[int]string{slotAction: string(action), slotPath: path.String()}, scopes: texts}.encode())
		if got := word&0xff == allow; got != want {
			t.Errorf("%s %s with %q: allowed %v, want %v", action, path, texts, got, want)
		}
		if got := viaJSON.eval(encodeJSON(flat1.t, string(action), path.String(), texts)); got != word {
			t.Errorf("%s %s with %q: %#x over JSON, %#x over flat1", action, path, texts, got, word)
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("drew %d covered and %d uncovered requests: the property was not put to the test", seen[true], seen[false])
	}
}

// Every byte is of the path alphabet for the guest exactly where it is for package secret, in paths and in patterns.
func TestScopeAlphabetIsThatOfPaths(t *testing.T) {
	g := newGuest(t, builtin(t, "scope"))
	for c := range 256 {
		text := "a" + string([]byte{byte(c)}) + "b"
		_, err := secret.ParsePath(text)
		want := uint64(3 << 8)
		if err == nil {
			want = 1<<25 | 1<<8 | allow
		}
		if got := g.eval(flat{slots: map[int]string{slotAction: "read", slotPath: text}, scopes: []string{"read:" + text}}.encode()); got != want {
			t.Errorf("byte %#x: word %#x, want %#x", c, got, want)
		}
	}
}

// A malformed scope never comes from a verified token; if one does, it covers nothing.
func TestScopeIgnoresMalformedScopes(t *testing.T) {
	g := newGuest(t, builtin(t, "scope"))
	for _, scope := range []string{
		"", ":", "read", "read:", ":a/b", "read:*a/b", "read:a/b/", "read:/a/b", "read:a//b", "read:**/b", "read:a/***", "read:a/b**", "read:a**",
		"READ:a/b", "read :a/b", "read:a/b ", "read:a/*b", "read:./**", "read:" + strings.Repeat("*/", 16) + "**",
	} {
		word := g.eval(flat{slots: map[int]string{slotAction: "read", slotPath: "a/b"}, scopes: []string{scope}}.encode())
		if effect(word) != deny || code(word) != 2 {
			t.Errorf("scope %q: word %#x, want deny as uncovered", scope, word)
		}
	}
}

func TestScopeDeniesMalformedRequests(t *testing.T) {
	g, j := newGuest(t, builtin(t, "scope")), newGuest(t, jsonGuest(t))
	all := []string{"read:**", "list:**", ":**", "a:**"}
	for _, row := range []struct{ action, path string }{
		{"", "a/b"},
		{"READ", "a/b"},
		{"a", "a/b"},
		{"read", ""},
		{"read", "a//b"},
		{"read", "/a"},
		{"read", "a/"},
		{"read", ".."},
		{"read", "a/./b"},
		{"read", "a/*"},
		{"read", "a b"},
		{"read", strings.Repeat("a", 129)},
		{"read", strings.Repeat("a/", 16) + "a"},
	} {
		want := uint64(3 << 8)
		if got := g.eval(flat{slots: map[int]string{slotAction: row.action, slotPath: row.path}, scopes: all}.encode()); got != want {
			t.Errorf("flat1 %q %q: word %#x, want %#x", row.action, row.path, got, want)
		}
		if got := j.eval(encodeJSON(t, row.action, row.path, all)); got != want {
			t.Errorf("json %q %q: word %#x, want %#x", row.action, row.path, got, want)
		}
	}
}

func TestScopeJSONNeedsEveryMember(t *testing.T) {
	g := newGuest(t, jsonGuest(t))
	full := `{"action":"read","secret":{"path":"a"},"principal":{"scopes":["read:a"]}}`
	if got := g.eval([]byte(full)); effect(got) != allow {
		t.Fatalf("word %#x, want allow", got)
	}
	// An allowed request came before: nothing of it may serve for what is missing here.
	for _, raw := range []string{
		``, `{}`, `{"secret":{"path":"a"},"principal":{"scopes":["read:a"]}}`, `{"action":"read","principal":{"scopes":["read:a"]}}`,
		`{"action":"read","secret":{},"principal":{"scopes":["read:a"]}}`, `{"action":"read","secret":{"path":"a"},"principal":{}}`,
		`{"action":"read","secret":{"path":"a"}}`, full + `x`, full[:len(full)-1],
	} {
		if got := g.eval([]byte(raw)); got != 3<<8 {
			t.Errorf("%s: word %#x, want deny as malformed", raw, got)
		}
	}
}
