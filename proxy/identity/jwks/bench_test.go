package jwks_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

// BenchmarkKeys is what every verification pays while the keys are fresh.
func BenchmarkKeys(b *testing.B) {
	s := from(b, newOrigin(set(b, 1)), jwks.Config{})
	id := kid(1)
	wantKey(b, s, id)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Keys(b.Context(), id); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
