package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of how long a set is used before it is fetched again, whatever the issuer says.
const (
	minFresh = 5 * time.Minute
	maxFresh = 24 * time.Hour
)

// freshness is how long an answer with this header may be used (RFC 9111 section 4.2): max-age less the time it has spent
// in caches on the way, within the bounds. Without max-age, or where it contradicts itself, it is the least.
func freshness(h http.Header) time.Duration {
	age, ok := maxAge(h.Values("Cache-Control"))
	if !ok {
		return minFresh
	}
	if spent, ok := deltaSeconds(h.Get("Age")); ok {
		age -= spent
	}
	return min(max(age, minFresh), maxFresh)
}

// maxAge reads the directives of Cache-Control (RFC 9111 section 5.2). The least of several max-age counts. With no-store,
// no-cache or a max-age that cannot be read there is none.
func maxAge(lines []string) (age time.Duration, ok bool) {
	for _, line := range lines {
		for d := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.Trim(d, " \t"), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0, false
			case "max-age":
				seconds, good := deltaSeconds(unquote(value))
				if !good {
					return 0, false
				}
				if !ok || seconds < age {
					age, ok = seconds, true
				}
			}
		}
	}
	return age, ok
}

// deltaSeconds reads a number of seconds (RFC 9111 section 1.2.2). What is too large to be one is very long.
func deltaSeconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	const most = 1 << 31
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > most {
		n = most
	}
	return time.Duration(n) * time.Second, true
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
