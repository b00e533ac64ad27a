package config_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"60s": time.Minute, "1h30m": 90 * time.Minute, "0": 0, "0s": 0, "1.5s": 1500 * time.Millisecond, "250ms": 250 * time.Millisecond, "2562047h47m16.854775807s": math.MaxInt64,
	} {
		if got, err := config.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "60", "-1s", "+1s", "-0", "1d", "1 s", " 1s", "1S", "s", "1h-1m", "9999999999h", "2562047h47m16.854775808s", "1e3s"} {
		if got, err := config.ParseDuration(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]config.Size{
		"0": 0, "0B": 0, "1B": 1, "64MiB": 64 << 20, "1TiB": 1 << 40, "1024KiB": 1 << 20, "8388607TiB": 8388607 << 40, "9223372036854775807B": math.MaxInt64,
	} {
		if got, err := config.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "64", "-1B", "+1B", "64MB", "64M", "1.5GiB", "64 MiB", "64mib", "B", "iB", "8388608TiB", "9223372036854775808B", "99999999999999999999KiB", "0x10B", "1_000B"} {
		if got, err := config.ParseSize(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := config.Size(rapid.Int64Range(0, math.MaxInt64).Draw(t, "size")) << rapid.IntRange(0, 40).Draw(t, "shift")
		if want < 0 {
			return
		}
		if got, err := config.ParseSize(want.String()); err != nil || got != want {
			t.Fatalf("%d is written %q, which is %v, %v", int64(want), want, got, err)
		}
	})
}
