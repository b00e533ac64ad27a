package audit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

func TestKeys(t *testing.T) {
	key, err := audit.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := audit.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.ParseKey(private)
	if err != nil || !again.Equal(key) {
		t.Errorf("ParseKey(MarshalKey(key)) is another key, %v", err)
	}
	fromPrivate, err := audit.ParsePublicKey(private)
	if err != nil || !fromPrivate.Equal(key.Public()) {
		t.Errorf("ParsePublicKey of the private key: %v", err)
	}
	public, err := audit.MarshalPublicKey(fromPrivate)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := audit.ParsePublicKey(public); err != nil || !got.Equal(key.Public()) {
		t.Errorf("ParsePublicKey(MarshalPublicKey(key)) is another key, %v", err)
	}
	if _, err := audit.ParseKey(public); !errors.Is(err, audit.ErrInvalidKey) {
		t.Errorf("ParseKey of a public key = %v, want ErrInvalidKey", err)
	}
}

func TestKeysRefused(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(name string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: b}) }
	for name, text := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "other curve": block("PRIVATE KEY", der), "damaged": block("PRIVATE KEY", der[:20]),
		"other public": block("PUBLIC KEY", spki), "damaged public": block("PUBLIC KEY", spki[:20]), "other block": block("X", der),
	} {
		if _, err := audit.ParseKey(text); !errors.Is(err, audit.ErrInvalidKey) {
			t.Errorf("%s: ParseKey = %v, want ErrInvalidKey", name, err)
		}
		if _, err := audit.ParsePublicKey(text); !errors.Is(err, audit.ErrInvalidKey) {
			t.Errorf("%s: ParsePublicKey = %v, want ErrInvalidKey", name, err)
		}
	}
}

// The time of the ULID specification's own example, and the bounds of what 48 bits hold.
func TestTimeOfID(t *testing.T) {
	for ms, want := range map[int64]string{1469918176385: "01ARYZ6S41", 0: "0000000000", 1<<48 - 1: "7ZZZZZZZZZ"} {
		id := audit.NewID(time.UnixMilli(ms))
		if !audit.ValidID(id) || !strings.HasPrefix(id, want) || !audit.IDTime(id).Equal(time.UnixMilli(ms)) {
			t.Errorf("%d ms: got %s of %v, want %s…", ms, id, audit.IDTime(id), want)
		}
	}
}

// Each of the 80 random bits is sometimes set and sometimes not.
func TestIDIsRandom(t *testing.T) {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var ones, zeros [16]int
	for range 200 {
		for i, c := range audit.NewID(time.UnixMilli(0))[10:] {
			v := strings.IndexRune(digits, c)
			ones[i] |= v
			zeros[i] |= v ^ 31
		}
	}
	for i := range ones {
		if ones[i] != 31 || zeros[i] != 31 {
			t.Errorf("digit %d never had the bits %05b set, or %05b clear", i, ones[i]^31, zeros[i]^31)
		}
	}
}

func TestNewID(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	a, b, later := audit.NewID(now), audit.NewID(now), audit.NewID(now.Add(time.Millisecond))
	if len(a) != 26 || a == b || a[:10] != b[:10] || later <= a {
		t.Errorf("NewID gave %s, %s and later %s", a, b, later)
	}
	for _, out := range []time.Time{time.Unix(-1<<50, 0), time.Unix(1<<60, 0), {}} {
		if id := audit.NewID(out); len(id) != 26 || bytes.ContainsAny([]byte(id), "ilou") {
			t.Errorf("NewID(%v) = %s", out, id)
		}
	}
}
