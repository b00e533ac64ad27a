// Package defaults makes the configuration of an extension that was given none, from the environment variables of the AWS
// Parameters and Secrets Lambda Extension. A value that it does not understand is an error and never a default: whoever
// set it relies on it.
package defaults

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Document is the configuration in JSON: the function's own Secrets Manager and Parameter Store, read with its role.
func Document(getenv func(string) string) ([]byte, error) {
	s, err := read(getenv)
	if err != nil {
		return nil, err
	}
	secrets, parameters := s.of("SECRETS_MANAGER"), s.of("SSM_PARAMETER_STORE")
	doc := object{
		"version":   1,
		"region":    getenv("AWS_REGION"),
		"listen":    object{"aws": object{"address": "127.0.0.1:" + strconv.Itoa(s.port), "secrets": "secretsmanager", "parameters": "parameterstore"}},
		"upstreams": object{"secretsmanager": secrets.upstream("secretsmanager"), "parameterstore": parameters.upstream("parameterstore")},
		"mounts":    []object{secrets.mount("secretsmanager"), parameters.mount("parameterstore")},
		"cache":     object{"entries": max(s.entries, 1)},
		"state":     object{"type": "memory"},
		"audit":     object{"durability": "process", "sinks": []object{{"type": "stdout", "required": true}}},
		"log":       object{"level": s.level},
	}
	return json.Marshal(doc)
}

// Silent reports whether the program's own log is switched off, which no document can say.
func Silent(getenv func(string) string) bool {
	return strings.EqualFold(getenv(prefix+"LOG_LEVEL"), "none")
}

type object = map[string]any

// service is what the variables say of one of the two services.
type service struct {
	ttl, timeout time.Duration
	concurrency  int
}

func (s service) upstream(kind string) object {
	o := object{"type": kind, "limits": object{"concurrency": s.concurrency, "rate": 0}}
	if s.timeout > 0 {
		o["timeout"] = s.timeout.String()
	}
	return o
}

// mount is asked again when the value is as old as the variables say, by the request that finds it so: between requests
// nothing runs.
func (s service) mount(path string) object {
	cache := object{"soft_ttl": s.ttl.String(), "hard_ttl": s.ttl.String()}
	if s.ttl == 0 {
		cache["negative_ttl"], cache["stale_if_error"] = "0s", "0s"
	}
	return object{"path": path, "upstream": path, "cache": cache}
}

// settings are what the variables say.
type settings struct {
	services    map[string]service
	entries     int // 0: nothing is kept
	connections int
	port        int
	level       string
}

func (s *settings) of(name string) service {
	o := s.services[name]
	o.concurrency = s.connections
	if s.entries == 0 {
		o.ttl = 0
	}
	return o
}

// prefix begins the names of the variables that are not about one service.
const prefix = "PARAMETERS_SECRETS_EXTENSION_"

// Limits of the variables, and their defaults: those of the original.
const (
	maxTTL         = 300 // seconds
	maxEntries     = 1000
	maxConnections = 100_000
	maxTimeout     = 1 << 31 // milliseconds
)

func read(getenv func(string) string) (*settings, error) {
	r := reader{getenv: getenv}
	s := &settings{services: map[string]service{}}
	for _, name := range []string{"SECRETS_MANAGER", "SSM_PARAMETER_STORE"} {
		s.services[name] = service{
			ttl:     time.Duration(r.number(name+"_TTL", 300, 0, maxTTL)) * time.Second,
			timeout: time.Duration(r.number(name+"_TIMEOUT_MILLIS", 0, 0, maxTimeout)) * time.Millisecond,
		}
	}
	s.entries = r.number(prefix+"CACHE_SIZE", 1000, 0, maxEntries)
	if r.word(prefix+"CACHE_ENABLED", "true", "true", "false") == "false" {
		s.entries = 0
	}
	s.connections = r.number(prefix+"MAX_CONNECTIONS", 3, 1, maxConnections)
	s.port = r.number(prefix+"HTTP_PORT", 2773, 1, 65535)
	if s.level = r.word(prefix+"LOG_LEVEL", "info", "debug", "info", "warn", "error", "none"); s.level == "none" {
		s.level = "error"
	}
	return s, r.err
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
