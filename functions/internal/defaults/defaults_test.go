package defaults_test

import (
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/functions/internal/defaults"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := len(pairs) - 2; i >= 0; i -= 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		if name == "AWS_SESSION_TOKEN" {
			return "token"
		}
		return ""
	}
}

const (
	head  = `{"audit":{"durability":"process","sinks":[{"required":true,"type":"stdout"}]},`
	state = `"region":"","state":{"type":"memory"},`
)

func TestDocument(t *testing.T) {
	for name, tt := range map[string]struct {
		env  []string
		want string
	}{
		"nothing is set": {nil, head + `"cache":{"bytes":"8MiB","entries":1000},` +
			`"listen":{"aws":{"address":"127.0.0.1:2773","parameters":"parameterstore","secrets":"secretsmanager"}},"log":{"level":"info"},` +
			`"mounts":[{"cache":{"hard_ttl":"5m0s","soft_ttl":"5m0s"},"path":"secretsmanager","upstream":"secretsmanager"},` +
			`{"cache":{"hard_ttl":"5m0s","soft_ttl":"5m0s"},"path":"parameterstore","upstream":"parameterstore"}],` + state +
			`"upstreams":{"parameterstore":{"limits":{"concurrency":3,"rate":0},"type":"parameterstore"},` +
			`"secretsmanager":{"limits":{"concurrency":3,"rate":0},"type":"secretsmanager"}},"version":1}`},
		"everything is set": {
			[]string{
				"SECRETS_MANAGER_TTL", "0", "SSM_PARAMETER_STORE_TTL", "7", "SECRETS_MANAGER_TIMEOUT_MILLIS", "1500", "SSM_PARAMETER_STORE_TIMEOUT_MILLIS", "0",
				"PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "True", "PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", "5", "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "65535",
				"PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS", "1", "PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "Debug", "AWS_REGION", "eu-west-1",
			}, head + `"cache":{"bytes":"8MiB","entries":5},` +
				`"listen":{"aws":{"address":"127.0.0.1:65535","parameters":"parameterstore","secrets":"secretsmanager"}},"log":{"level":"debug"},` +
				`"mounts":[{"cache":{"hard_ttl":"0s","negative_ttl":"0s","soft_ttl":"0s","stale_if_error":"0s"},"path":"secretsmanager","upstream":"secretsmanager"},` +
				`{"cache":{"hard_ttl":"7s","negative_ttl":"3.5s","soft_ttl":"7s"},"path":"parameterstore","upstream":"parameterstore"}],` + strings.Replace(state, `""`, `"eu-west-1"`, 1) +
				`"upstreams":{"parameterstore":{"limits":{"concurrency":1,"rate":0},"type":"parameterstore"},` +
				`"secretsmanager":{"limits":{"concurrency":1,"rate":0},"timeout":"1.5s","type":"secretsmanager"}},"version":1}`,
		},
		"another Keyhole, with the shorter of both times": {
			[]string{"KEYHOLE_URL", "https://keyhole.example", "SSM_PARAMETER_STORE_TTL", "7", "SECRETS_MANAGER_TIMEOUT_MILLIS", "20", "SSM_PARAMETER_STORE_TIMEOUT_MILLIS", "30"}, head + `"cache":{"bytes":"8MiB","entries":1000},` +
				`"listen":{"aws":{"address":"127.0.0.1:2773"}},"log":{"level":"info"},` +
				`"mounts":[{"cache":{"hard_ttl":"7s","negative_ttl":"3.5s","soft_ttl":"7s"},"path":"","upstream":"region"}],` + state +
				`"upstreams":{"region":{"address":"https://keyhole.example","auth":{"method":"aws"},"limits":{"concurrency":3,"rate":0},"timeout":"20ms","type":"keyhole"}},"version":1}`,
		},
		"another Keyhole, by role": {
			[]string{"KEYHOLE_URL", "https://keyhole.example", "SECRETS_MANAGER_TTL", "60", "SSM_PARAMETER_STORE_TIMEOUT_MILLIS", "20"}, head + `"cache":{"bytes":"8MiB","entries":1000},` +
				`"listen":{"aws":{"address":"127.0.0.1:2773"}},"log":{"level":"info"},` +
				`"mounts":[{"cache":{"hard_ttl":"1m0s","soft_ttl":"1m0s"},"path":"","upstream":"region"}],` + state +
				`"upstreams":{"region":{"address":"https://keyhole.example","auth":{"method":"aws"},"limits":{"concurrency":3,"rate":0},"timeout":"20ms","type":"keyhole"}},"version":1}`,
		},
	} {
		got, err := defaults.Document(env(tt.env...))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got  %s %v\nwant %s", name, got, err, tt.want)
		}
	}
}

func TestProofForAnotherKeyhole(t *testing.T) {
	for want, env := range map[string]func(string) string{
		`"auth":{"method":"token","token":"env:KEYHOLE_TOKEN"}`: env("KEYHOLE_URL", "https://k", "KEYHOLE_TOKEN", "secret", "KEYHOLE_KEY", "secret"),
		`"auth":{"key":"env:KEYHOLE_KEY","method":"key"}`:       env("KEYHOLE_URL", "https://k", "KEYHOLE_KEY", "secret"),
	} {
		got, err := defaults.Document(env)
		if err != nil || !strings.Contains(string(got), want) || strings.Contains(string(got), "secret") {
			t.Errorf("got %s %v, want %s", got, err, want)
		}
	}
}

// The cache is off in whichever way it is switched off.
func TestNoCache(t *testing.T) {
	for _, env := range []func(string) string{
		env("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "FALSE"),
		env("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", "0", "SECRETS_MANAGER_TTL", "10"),
		env("SECRETS_MANAGER_TTL", "0", "SSM_PARAMETER_STORE_TTL", "0"),
	} {
		got, err := defaults.Document(env)
		if n := strings.Count(string(got), `"hard_ttl":"0s"`); err != nil || n != 2 {
			t.Errorf("got %s %v", got, err)
		}
	}
}

func TestBadVariables(t *testing.T) {
	const p = "PARAMETERS_SECRETS_EXTENSION_"
	for _, tt := range []struct{ name, value, want string }{
		{"SECRETS_MANAGER_TTL", "301", "a whole number from 0 to 300"},
		{"SSM_PARAMETER_STORE_TTL", "-1", "a whole number from 0 to 300"},
		{"SSM_PARAMETER_STORE_TTL", "5m", "a whole number from 0 to 300"},
		{"SECRETS_MANAGER_TIMEOUT_MILLIS", "-1", "a whole number from 0 to 3600000"},
		{"SSM_PARAMETER_STORE_TIMEOUT_MILLIS", "1.5", "a whole number from 0 to 3600000"},
		{p + "CACHE_ENABLED", "yes", "one of TRUE, FALSE"},
		{p + "CACHE_SIZE", "1001", "a whole number from 0 to 1000"},
		{p + "HTTP_PORT", "0", "a whole number from 1 to 65535"},
		{p + "HTTP_PORT", "65536", "a whole number from 1 to 65535"},
		{p + "MAX_CONNECTIONS", "0", "a whole number from 1 to 100000"},
		{p + "LOG_LEVEL", "TRACE", "one of DEBUG, INFO, WARN, ERROR, NONE"},
		{"AWS_SESSION_TOKEN", "", "nobody could prove to be the function"},
	} {
		got, err := defaults.Document(env(tt.name, tt.value))
		if err == nil || !strings.HasPrefix(err.Error(), tt.name+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: got %s, %v", tt.name, tt.value, got, err)
		}
	}
}

func TestSilent(t *testing.T) {
	const name = "PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL"
	for value, want := range map[string]bool{"": false, "ERROR": false, "none": true, "NONE": true} {
		if got := defaults.Silent(env(name, value)); got != want {
			t.Errorf("%q: got %t", value, got)
		}
		if _, err := defaults.Document(env(name, value)); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestToken(t *testing.T) {
	for want, env := range map[string]func(string) string{
		"token": env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other"),
		"other": env("AWS_SESSION_TOKEN", "", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "other"),
		"":      env("AWS_SESSION_TOKEN", "", "AWS_TOKEN", "another"),
	} {
		if got := defaults.Token(env); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
