package identity_test

import (
	"context"
	"testing"
)

func BenchmarkTokenVerify(b *testing.B) {
	key := testKey('a')
	v := newVerifier(b, newClock(), keySet(b, key))
	token := sign(b, key, goodClaims(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.VerifyUncached(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenVerifyCached(b *testing.B) {
	key := testKey('a')
	v := newVerifier(b, newClock(), keySet(b, key))
	token := sign(b, key, goodClaims(b))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, token); err != nil {
			b.Fatal(err)
		}
	}
}
