package proxytest

import (
	"regexp"
	"strconv"
	"strings"
)

// Init is what a package did before main, as the runtime tells under GODEBUG=inittrace=1.
type Init struct {
	Package       string
	Clock         float64 // milliseconds
	Bytes, Allocs int     // on the heap
}

var initLine = regexp.MustCompile(`^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes, (\d+) allocs$`)

// ParseInits reads the packages of the program that started first from what it wrote to its standard error. Where another
// began after it, as a function beside an extension does, a package comes again.
func ParseInits(log string) []Init {
	var out []Init
	seen := map[string]bool{}
	for line := range strings.Lines(log) {
		m := initLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		if seen[m[1]] {
			break
		}
		seen[m[1]] = true
		i := Init{Package: m[1]}
		i.Clock, _ = strconv.ParseFloat(m[2], 64)
		i.Bytes, _ = strconv.Atoi(m[3])
		i.Allocs, _ = strconv.Atoi(m[4])
		out = append(out, i)
	}
	return out
}
