package audit_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

// What the package comment says of the line, done without the package: others verify logs by it.
func TestDocumentedFormat(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	appendOne(t, l)
	closeLog(t, l)
	signatures := 0
	for line := range strings.Lines(m.Text()) {
		r := decode(t, line)
		body, hash, _ := strings.Cut(strings.TrimSuffix(line, "\"}\n"), `,"hash":"`)
		if sum := sha256.Sum256([]byte(body)); hex.EncodeToString(sum[:]) != hash {
			t.Errorf("hash %s is not that of the bytes before it: %s", hash, line)
		}
		body, sig, found := strings.Cut(strings.TrimSuffix(body, `"`), `,"sig":"`)
		if !found {
			continue
		}
		signatures++
		digest := sha256.Sum256([]byte(body))
		message := fmt.Sprintf("keyhole audit checkpoint v1\n%s\n%d\n%x\n", r.Chain.Instance, r.Chain.Seq, digest)
		raw, err := hex.DecodeString(sig)
		if err != nil || !ed25519.Verify(audittest.PublicKey(), []byte(message), raw) {
			t.Errorf("the signature is not over the documented bytes: %s", line)
		}
	}
	if signatures != 2 {
		t.Errorf("%d signatures, want those of birth and seal", signatures)
	}
}

// forge writes a record as somebody without the key can after the last signature, or with the key if it is signed, and
// steps at to it.
func forge(t *testing.T, at *audit.Position, k audit.Kind, change func(*audit.Chain)) string {
	t.Helper()
	r := audittest.Access()
	r.Kind = k
	r.Chain = audit.Chain{Instance: at.Instance, Seq: at.Seq + 1, Prev: at.Hash}
	if k == audit.Birth {
		r.Chain.Continues = audit.Place{Instance: at.Instance, Seq: at.Seq}
	}
	if change != nil {
		change(&r.Chain)
	}
	if k != audit.Access {
		audit.Sign(r, audittest.Key())
	}
	line := string(audit.EncodeSigned(r))
	*at = decode(t, line).Chain.Position()
	return line
}

// Each row breaks one rule and keeps all others.
func TestVerifyEachRule(t *testing.T) {
	instance := func(name string) func(*audit.Chain) {
		return func(c *audit.Chain) { c.Instance = name }
	}
	rotated := func(c *audit.Chain) { c.Rotated = true }
	other := func(c *audit.Chain) { c.Instance, c.Seq = "other", 1 }
	for name, row := range map[string]struct {
		build func(start audit.Position, first string) []string
		bad   bool
	}{
		"nothing": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Access, nil) + forge(t, &p, audit.Seal, nil) + forge(t, &p, audit.Birth, other)}
		}, false},
		"gap": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Access, func(c *audit.Chain) { c.Seq++ })}
		}, true},
		"prev_hash": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Access, func(c *audit.Chain) { c.Prev[0]++ })}
		}, true},
		"instance": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Access, instance("other"))}
		}, true},
		"after seal": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Seal, nil) + forge(t, &p, audit.Access, nil)}
		}, true},
		"birth seq": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Birth, instance("other"))}
		}, true},
		"birth prev_hash": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Birth, func(c *audit.Chain) { other(c); c.Prev[0]++ })}
		}, true},
		"birth continues": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Birth, func(c *audit.Chain) { other(c); c.Continues.Seq++ })}
		}, true},
		"file without birth": {func(p audit.Position, first string) []string {
			return []string{first, forge(t, &p, audit.Access, nil)}
		}, true},
		"torn, then another instance": {func(p audit.Position, first string) []string {
			return []string{first + `{"v"`, forge(t, &p, audit.Birth, other)}
		}, true},
		"torn, then goes on": {func(p audit.Position, first string) []string {
			return []string{first + `{"v"`, forge(t, &p, audit.Birth, nil)}
		}, false},
		"abandoned": {func(p audit.Position, first string) []string {
			q := p
			return []string{first + forge(t, &q, audit.Access, nil), forge(t, &p, audit.Birth, nil)}
		}, false},
		"a whole file abandoned": {func(p audit.Position, first string) []string {
			q := p
			return []string{first, forge(t, &q, audit.Birth, nil) + forge(t, &q, audit.Access, nil), forge(t, &p, audit.Birth, nil)}
		}, false},
		"abandoned by another instance": {func(p audit.Position, first string) []string {
			q := p
			return []string{first + forge(t, &q, audit.Access, nil), forge(t, &p, audit.Birth, other)}
		}, true},
		"rotated": {func(p audit.Position, first string) []string {
			return []string{first, forge(t, &p, audit.Birth, rotated)}
		}, false},
		"rotated after other lines": {func(p audit.Position, first string) []string {
			q := p
			return []string{first + forge(t, &q, audit.Access, nil), forge(t, &p, audit.Birth, rotated)}
		}, true},
		"rotated after a torn line": {func(p audit.Position, first string) []string {
			return []string{first + `{"v"`, forge(t, &p, audit.Birth, rotated)}
		}, true},
		"rotated inside a file": {func(p audit.Position, first string) []string {
			return []string{first + forge(t, &p, audit.Birth, rotated)}
		}, true},
		"rotated by another instance": {func(p audit.Position, first string) []string {
			return []string{first, forge(t, &p, audit.Birth, func(c *audit.Chain) { other(c); c.Rotated = true })}
		}, true},
		"abandoned without chain": {func(p audit.Position, first string) []string {
			q := p
			return []string{first + forge(t, &q, audit.Access, func(c *audit.Chain) { c.Prev[0]++ }), forge(t, &p, audit.Birth, nil)}
		}, true},
	} {
		var m audittest.Memory
		l := newLog(t, &m)
		first := m.Text()
		closeLog(t, l)
		files := row.build(decode(t, first).Chain.Position(), first)
		r, err := verifyText(files)
		if got := errors.Is(err, audit.ErrTampered); got != row.bad {
			t.Errorf("%s: Verify = %+v, %v", name, r, err)
		}
	}
}
