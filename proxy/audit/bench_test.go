package audit_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

func BenchmarkEncode(b *testing.B) {
	r, buf := audittest.Access(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = audit.Encode(buf[:0], r, place)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkNewID(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		audit.NewID(now)
	}
}

func benchLog(b *testing.B, d audit.Durability) *audit.Log {
	l := newLog(b, fileSink(b, filepath.Join(b.TempDir(), "audit.jsonl"), d))
	b.Cleanup(func() { _ = l.Close() })
	return l
}

func benchAppend(b *testing.B, d audit.Durability) {
	l, r, ctx := benchLog(b, d), audittest.Access(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(ctx, r); err != nil {
			b.Fatal(err)
		}
	}
}

func benchParallel(b *testing.B, d audit.Durability) {
	l, ctx := benchLog(b, d), context.Background()
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := audittest.Access()
		for pb.Next() {
			if err := l.Append(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B)               { benchAppend(b, audit.Process) }
func BenchmarkAppendParallel(b *testing.B)       { benchParallel(b, audit.Process) }
func BenchmarkAppendStrict(b *testing.B)         { benchAppend(b, audit.Strict) }
func BenchmarkAppendStrictParallel(b *testing.B) { benchParallel(b, audit.Strict) }

func BenchmarkVerify(b *testing.B) {
	var m audittest.Memory
	l := newLog(b, &m)
	const n = 10_000
	for range n {
		if err := l.Append(context.Background(), audittest.Access()); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m.Text())))
	b.ReportAllocs()
	for b.Loop() {
		verify(b, m.Sources())
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
}
