package defaults

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings are what the variables say.
type settings struct {
	secrets, parameters service
	entries             int // at least 0, which keeps nothing
	connections         int
	port                int
	level               string // of log.level
}

// service is what they say of one of the two services.
type service struct {
	ttl     time.Duration // 0: nothing is kept
	timeout time.Duration // of a request; 0: ours
}

// prefix begins the names of the variables that are about neither service.
const prefix = "PARAMETERS_SECRETS_EXTENSION_"

// Limits of the variables, which are the original's where it has some.
const (
	maxTTL         = 300 // seconds
	maxEntries     = 1000
	maxConnections = 100_000
	maxTimeout     = 3_600_000 // milliseconds
)

func read(getenv func(string) string) (*settings, error) {
	r := reader{getenv: getenv}
	s := &settings{
		secrets:     r.service("SECRETS_MANAGER"),
		parameters:  r.service("SSM_PARAMETER_STORE"),
		entries:     r.number(prefix+"CACHE_SIZE", 1000, 0, maxEntries),
		connections: r.number(prefix+"MAX_CONNECTIONS", 3, 1, maxConnections),
		port:        r.number(prefix+"HTTP_PORT", 2773, 1, 65535),
		level:       r.word(prefix+"LOG_LEVEL", "info", "debug", "info", "warn", "error", "none"),
	}
	if r.word(prefix+"CACHE_ENABLED", "true", "true", "false") == "false" || s.entries == 0 {
		s.entries, s.secrets.ttl, s.parameters.ttl = 0, 0, 0
	}
	if s.level == "none" {
		s.level = "error" // and Silent
	}
	return s, r.err
}

// Silent reports whether the program's own log is switched off, which no document can say.
func Silent(getenv func(string) string) bool {
	return strings.EqualFold(getenv(prefix+"LOG_LEVEL"), "none")
}

// upstream adds to o what the variables say of what is asked.
func (s *settings) upstream(of service, o object) object {
	o["limits"] = object{"concurrency": s.connections, "rate": 0}
	if of.timeout > 0 {
		o["timeout"] = of.timeout.String()
	}
	return o
}

// maxNegative is how long it may be remembered that there is no secret: the default of 10 s, and half of it at random. A
// shorter time that is set for values is one for that as well.
const maxNegative = 15 * time.Second

// cache keeps a value as long as the variables say. The request that finds it older asks: between requests nothing runs.
func (s service) cache() object {
	c := object{"soft_ttl": s.ttl.String(), "hard_ttl": s.ttl.String()}
	if s.ttl == 0 {
		c["stale_if_error"] = "0s"
	}
	if s.ttl < maxNegative {
		c["negative_ttl"] = (s.ttl / 2).String()
	}
	return c
}

// stricter is for what is asked for both services: the shorter of their times.
func (s service) stricter(o service) service {
	s.ttl = min(s.ttl, o.ttl)
	if s.timeout == 0 || o.timeout > 0 && o.timeout < s.timeout {
		s.timeout = o.timeout
	}
	return s
}

// reader reads variables, and keeps the first error.
type reader struct {
	getenv func(string) string
	err    error
}

func (r *reader) fail(name, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: want %s, not %.40q", name, want, r.getenv(name))
	}
}

func (r *reader) service(name string) service {
	return service{
		ttl:     time.Duration(r.number(name+"_TTL", maxTTL, 0, maxTTL)) * time.Second,
		timeout: time.Duration(r.number(name+"_TIMEOUT_MILLIS", 0, 0, maxTimeout)) * time.Millisecond,
	}
}

// number is a whole number from low to high, or def where the variable is not set.
func (r *reader) number(name string, def, low, high int) int {
	text := r.getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		r.fail(name, fmt.Sprintf("a whole number from %d to %d", low, high))
		return def
	}
	return n
}

// word is one of words in lower case, in whatever case it is set, or def where it is not.
func (r *reader) word(name, def string, words ...string) string {
	text := strings.ToLower(r.getenv(name))
	if text == "" {
		return def
	}
	for _, w := range words {
		if text == w {
			return w
		}
	}
	r.fail(name, "one of "+strings.ToUpper(strings.Join(words, ", ")))
	return def
}
