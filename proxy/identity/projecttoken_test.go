package identity_test

import (
	"encoding/base64"
	"errors"
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var scanner = regexp.MustCompile(identity.ProjectTokenPattern)

// knownTokens were computed apart from this code: CRC-32 of all before the last six characters, in base 62.
var knownTokens = []string{
	"kh_production_0123456789ABCDEFGHIJKLMNOPQRST" + "2pARu6",
	"kh_a_000000000000000000000000000000" + "2OdmBZ",
}

func newToken(t testing.TB, environment string) string {
	t.Helper()
	token, err := identity.NewProjectToken(environment)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// seal adds the checksum to what is before it: another implementation of it.
func seal(body string) string {
	sum, out := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		out = alphabet[sum%62:sum%62+1] + out
		sum /= 62
	}
	return body + out
}

// Every token that is made is found by the published pattern, alone and in a text, and taken by its checksum.
func TestProjectTokensAreFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		environment := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,31}`).Draw(rt, "environment")
		token := newToken(t, environment)
		if !identity.CheckProjectToken(token) || !identity.IsProjectToken(token) || scanner.FindString(token) != token {
			rt.Fatalf("%s is not found", token)
		}
		if seal(token[:len(token)-6]) != token {
			rt.Fatalf("%s has another checksum than it should", token)
		}
		around := rapid.SampledFrom([]string{
			"%s", "KEYHOLE_TOKEN=%s", "export KEYHOLE_TOKEN='%s'\n", `{"token":"%s"}`, `{\"token\":\"%s\"}`, "Authorization: Bearer %s\r\n",
			"https://x.test/?token=%s&y=1", "https://user:%s@x.test/", "grant_type=x&subject_token=%s", "2026-11-21 token %s, used", "<%s>", "- %s\n",
			"token: %s # a comment", "(%s)", "a/%s/b", "%s.", "`%s`", "“%s”", "é%sé",
		}).Draw(rt, "around")
		if got := scanner.FindAllString(strings.Replace(around, "%s", token, 1), -1); len(got) != 1 || got[0] != token {
			rt.Fatalf("in %q: got %q, want %s", around, got, token)
		}
	})
}

// What only looks like a project token is none.
func TestLookAlikesAreRefused(t *testing.T) {
	good := newToken(t, "production")
	body := good[:len(good)-6]
	for name, token := range map[string]string{
		"nothing": "", "the prefix": "kh_", "cut": good[:len(good)-1], "longer": good + "0", "longer, sealed": seal(body + "0"), "shorter, sealed": seal(body[:len(body)-1]),
		"another environment": strings.Replace(good, "production", "preview", 1), "no environment": seal("kh__" + strings.Repeat("A", 30)),
		"a large letter": seal("kh_Prod_" + strings.Repeat("A", 30)), "begins with -": seal("kh_-a_" + strings.Repeat("A", 30)),
		"an underscore in the environment": seal("kh_a_b_" + strings.Repeat("A", 30)), "33 characters of environment": seal("kh_" + strings.Repeat("a", 33) + "_" + strings.Repeat("A", 30)),
		"another prefix": "KH" + good[2:], "within a word": "x" + good, "a space before": " " + good, "a line end behind": good + "\n", "NUL behind": good + "\x00",
		"a full-width letter": strings.Replace(good, "k", "ｋ", 1), "a Cyrillic letter": seal("kh_a_" + strings.Repeat("А", 15)), "a combining mark": good[:20] + "\u0301" + good[20:],
		"an accent sealed in": seal("kh_prod_" + strings.Repeat("A", 28) + "é"), "+ and /": seal("kh_prod_" + strings.Repeat("A", 28) + "+/"), "- and _": seal("kh_prod_" + strings.Repeat("A", 28) + "-_"),
		"of GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "of Stripe": "sk_live_" + strings.Repeat("4", 24) + "aBcD", "of npm": "npm_" + strings.Repeat("aB3", 12),
		"a JWT": "eyJhbGciOiJFZERTQSJ9.e30.AAAA", "base64": base64.StdEncoding.EncodeToString([]byte(good)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(good)),
		"a hash": strings.Repeat("0123456789abcdef", 4), "zero checksum": body + "000000", "checksum turned round": body + string([]byte{good[len(good)-1], good[len(good)-2], good[len(good)-3], good[len(good)-4], good[len(good)-5], good[len(good)-6] ^ 1}),
	} {
		if identity.CheckProjectToken(token) {
			t.Errorf("%s: %q is taken", name, token)
		}
		if _, err := identity.ProjectTokenDigest(token); !errors.Is(err, identity.ErrInvalid) || strings.Contains(err.Error(), body[len(body)-30:]) {
			t.Errorf("%s: got %v, want ErrInvalid without the token", name, err)
		}
	}
	// A scanner finds neither a token inside of a word nor one of others.
	for _, text := range []string{"x" + good, good + "x", "_" + good, good + "_", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "sk_live_" + strings.Repeat("4", 36), base64.StdEncoding.EncodeToString([]byte(good))} {
		if got := scanner.FindString(text); got != "" {
			t.Errorf("%q: found %q", text, got)
		}
	}
	// Escapes hide a token, as the pattern's comment says.
	for _, text := range []string{`\n` + good, "Bearer%20" + good} {
		if got := scanner.FindString(text); got != "" {
			t.Errorf("%q: found %q, and the comment of the pattern says otherwise", text, got)
		}
	}
}

// The format never changes: tokens live for a year.
func TestKnownProjectTokens(t *testing.T) {
	for _, token := range knownTokens {
		if !identity.CheckProjectToken(token) {
			t.Errorf("%s is refused", token)
		}
	}
}

// A changed character is noticed wherever it is: CRC-32 finds every change of up to 32 bits in a row.
func TestEveryChangedCharacterIsNoticed(t *testing.T) {
	token := newToken(t, "production")
	for i := range token {
		for _, c := range alphabet + "-_. " {
			changed := token[:i] + string(c) + token[i+1:]
			if changed != token && identity.CheckProjectToken(changed) {
				t.Errorf("%s is taken in place of %s", changed, token)
			}
		}
	}
	for i := range len(token) - 1 {
		swapped := token[:i] + token[i+1:i+2] + token[i:i+1] + token[i+2:]
		if swapped != token && identity.CheckProjectToken(swapped) {
			t.Errorf("%s is taken in place of %s", swapped, token)
		}
	}
}

// Each of the 62 characters is as likely as another, wherever it stands, and no token comes twice. With 61 degrees of
// freedom chi-squared is above 150 once in 10^9 runs; taking bytes modulo 62 would make it about 2,600.
func TestProjectTokensAreRandom(t *testing.T) {
	const tokens = 10_000
	seen := map[string]bool{}
	var counts [62]float64
	var at [30][62]float64
	for range tokens {
		token := newToken(t, "a")
		if seen[token] {
			t.Fatalf("%s came twice", token)
		}
		seen[token] = true
		for i, c := range token[5:35] {
			counts[strings.IndexRune(alphabet, c)]++
			at[i][strings.IndexRune(alphabet, c)]++
		}
	}
	chi := func(counts *[62]float64, want float64) (sum float64) {
		for _, n := range counts {
			sum += (n - want) * (n - want) / want
		}
		return sum
	}
	if got := chi(&counts, tokens*30/62.0); got > 150 {
		t.Errorf("chi-squared of all characters is %.0f", got)
	}
	for i := range at {
		if got := chi(&at[i], tokens/62.0); got > 150 {
			t.Errorf("chi-squared of character %d is %.0f", i, got)
		}
	}
}

// A token is good from the moment it is made to the second before its end, for its own digest alone.
func TestProjectTokenVerifies(t *testing.T) {
	token, now := newToken(t, "production"), time.Unix(1_800_000_000, 0)
	digest, err := identity.ProjectTokenDigest(token)
	if err != nil {
		t.Fatal(err)
	}
	p := identity.ProjectToken{Digest: digest, Environment: "production", Subject: "web", Created: now, Expires: now.Add(time.Minute)}
	v, err := p.Verify(token, now.Add(time.Minute-1))
	if err != nil || v.Principal.Subject != "web" || v.Principal.TokenID != p.ID() || strings.Contains(p.ID(), token[14:]) {
		t.Errorf("got %+v, %v", v, err)
	}
	if _, err := p.Verify(token, now.Add(time.Minute)); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("at its end: got %v", err)
	}
	if _, err := p.Verify(newToken(t, "production"), now); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("another token: got %v", err)
	}
}

// The pattern that the documentation gives to scanners is the one of this package.
func TestThePatternIsPublished(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "`"+identity.ProjectTokenPattern+"`") {
		t.Errorf("README.md does not give the pattern %s", identity.ProjectTokenPattern)
	}
}

// FuzzCheckProjectToken: what is taken is found by the pattern as a whole, is sealed, and has a digest.
func FuzzCheckProjectToken(f *testing.F) {
	for _, token := range append(knownTokens, "kh_", "kh_a_", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "kh_a_"+strings.Repeat("A", 36), "") {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := identity.ProjectTokenDigest(token)
		if taken := identity.CheckProjectToken(token); taken != (err == nil) {
			t.Fatalf("%q: taken %t, and the digest: %v", token, taken, err)
		}
		sealed := len(token) > 6 && seal(token[:len(token)-6]) == token
		shaped := scanner.FindString(token) == token && token != ""
		if (err == nil) != (sealed && shaped) {
			t.Fatalf("%q: sealed %t, shaped %t, and got %v", token, sealed, shaped, err)
		}
	})
}
