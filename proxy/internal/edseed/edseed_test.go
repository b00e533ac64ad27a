package edseed_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/edseed"
)

func TestFromPKCS8(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := edseed.FromPKCS8(der)
	if err != nil || !bytes.Equal(got, key.Seed()) {
		t.Errorf("got %x, %v", got, err)
	}
	clear(der)
	if !bytes.Equal(got, key.Seed()) {
		t.Error("the seed ends with the text")
	}
	// The same with attributes, none of them: [0] IMPLICIT SET.
	der, _ = x509.MarshalPKCS8PrivateKey(key)
	der = append(der, 0xa0, 0)
	der[1] += 2
	if got, err := edseed.FromPKCS8(der); err != nil || !bytes.Equal(got, key.Seed()) {
		t.Errorf("with attributes: got %x, %v", got, err)
	}
}

func TestFromPKCS8Refuses(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edseed.FromPKCS8(other); !errors.Is(err, edseed.ErrAlgorithm) {
		t.Errorf("ECDSA: got %v", err)
	}
	for name, der := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "only the head": good[:16],
	} {
		if _, err := edseed.FromPKCS8(der); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
