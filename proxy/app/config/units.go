package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time. A document writes it with units, as in 60s or 1h30m; 0 needs none.
type Duration = time.Duration

var errUnit = errors.New("bad number or unit")

// ParseDuration reads a Duration: Go's syntax without a sign, from 0 to 292 years.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || s[0] == '-' || s[0] == '+' {
		return 0, errUnit
	}
	return d, nil
}

// formatDuration leaves out the zero minutes and seconds that time.Duration would print.
func formatDuration(d Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Size is a number of bytes. A document writes it with a binary unit, as in 64MiB; 0 needs none.
type Size int64

var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize reads a Size: a whole number and one of B, KiB, MiB, GiB, TiB, below 8 EiB.
func ParseSize(s string) (Size, error) {
	if s == "0" {
		return 0, nil
	}
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.bytes {
			return 0, errUnit
		}
		return Size(int64(n) * u.bytes), nil
	}
	return 0, errUnit
}

// String is the shortest form that ParseSize reads.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for _, u := range sizeUnits {
		if int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return ""
}
