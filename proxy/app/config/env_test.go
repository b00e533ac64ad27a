package config_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
)

func TestEnvironment(t *testing.T) {
	const text = base + "listen: {native: \"127.0.0.1:1\"}\nupstreams:\n  prod-eu.1: {type: vault, address: \"https://a\", auth: {method: approle, role_id: env:R, secret_id: env:S}}\n"
	c := mustDecode(t, text,
		"KEYHOLE__REGION=eu-west-1", "KEYHOLE__IDENTITY__MAX_TTL=10m", "KEYHOLE__LISTEN__NATIVE=127.0.0.1:2",
		"KEYHOLE__CACHE__ENTRIES=5", "KEYHOLE__CACHE__BYTES=1MiB", "KEYHOLE__CACHE__SECOND_LEVEL__ENABLED=true", "KEYHOLE__CACHE__SECOND_LEVEL__KEY=env:L2",
		"KEYHOLE__STATE__MAX_BLIND=0", "KEYHOLE__STATE__TYPE=memory", "KEYHOLE__UPSTREAMS__PROD_EU_1__ADDRESS=https://b", "KEYHOLE__AUDIT__KEY=env:AUDIT",
		"KEYHOLE__UPSTREAMS__PROD_EU_1__AUTH__ROLE_ID=env:OTHER", "KEYHOLE__TELEMETRY__PROMETHEUS=false", "KEYHOLE__LISTEN__ADMIN=",
		"HOME=/root", "KEYHOLE_PORT=tcp://10.0.0.1:80", "KEYHOLE_URL=x", "KEYHOLE_LISTEN__NATIVE=x", "keyhole__region=x", "PORT=", "",
	)
	u := c.Upstreams["prod-eu.1"].Vault
	for _, tt := range []struct {
		key       string
		got, want any
	}{
		{"region", c.Region, "eu-west-1"},
		{"identity.max_ttl", c.Identity.MaxTTL, 10 * time.Minute},
		{"listen.native", c.Listen.Native.Address, "127.0.0.1:2"},
		{"listen.admin", c.Listen.Admin, ""},
		{"cache.entries", c.Cache.Entries, 5},
		{"cache.second_level.enabled", c.Cache.SecondLevel.Enabled, true},
		{"cache.second_level.key", c.Cache.SecondLevel.Key, private("env:L2")},
		{"state.max_blind", c.State.MaxBlind, time.Duration(0)},
		{"state.type", c.State.Type, "memory"},
		{"upstreams.prod-eu.1.address", u.Address, "https://b"},
		{"upstreams.prod-eu.1.auth.role_id", u.Auth.AppRole.RoleID, ref("env:OTHER")},
		{"audit.key", c.Audit.Key, private("env:AUDIT")},
		{"telemetry.prometheus", c.Telemetry.Prometheus, false},
		{"PORT", c.Listen.FromPort, false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.key, tt.got, tt.want)
		}
	}
}

func TestEnvironmentProblems(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		environ    []string
		want       []string
	}{
		{"an unknown key", base, []string{"KEYHOLE__LISTEN__NATVE=x"}, []string{`KEYHOLE__LISTEN__NATVE: sets nothing that the document has; did you mean "KEYHOLE__LISTEN__NATIVE"?`}},
		{"a whole object", base, []string{"KEYHOLE__LISTEN=x"}, []string{`KEYHOLE__LISTEN: sets nothing that the document has`}},
		{"nothing", base, []string{"KEYHOLE__=x"}, []string{`KEYHOLE__: sets nothing that the document has`}},
		{"below a value", base, []string{"KEYHOLE__REGION__X=x"}, []string{`KEYHOLE__REGION__X: sets nothing that the document has; did you mean "KEYHOLE__REGION"?`}},
		{"a list", base, []string{"KEYHOLE__AUDIT__SINKS=x", "KEYHOLE__AUDIT__SINKS__0__TYPE=stdout", "KEYHOLE__LISTEN__TRUSTED_PROXIES=10.0.0.0/8"}, []string{
			`KEYHOLE__AUDIT__SINKS: lists cannot be set from the environment; change the document`,
			`KEYHOLE__AUDIT__SINKS__0__TYPE: lists cannot be set from the environment; change the document`,
			`KEYHOLE__LISTEN__TRUSTED_PROXIES: lists cannot be set from the environment; change the document`,
		}},
		{"an upstream that the document does not have", base, []string{"KEYHOLE__UPSTREAMS__A__TYPE=vault"}, []string{`KEYHOLE__UPSTREAMS__A__TYPE: sets nothing that the document has`}},
		{"two names written alike", base + "upstreams: {a-b: {type: vaul}, a_b: {type: vaul}}\n", []string{"KEYHOLE__UPSTREAMS__A_B__TYPE=vault"}, []string{
			`KEYHOLE__UPSTREAMS__A_B__TYPE: several names of the document are written so; change the document`,
		}},
		{"not UTF-8", base, []string{"KEYHOLE__REGION=\xff"}, []string{`KEYHOLE__REGION: the value is not UTF-8`}},
		{"wrong values", base, []string{"KEYHOLE__IDENTITY__MAX_TTL=60", "KEYHOLE__CACHE__ENTRIES=many", "KEYHOLE__LISTEN__INSECURE_HTTP=1", "KEYHOLE__LOG__LEVEL=warning", "KEYHOLE__LISTEN__NATIVE=8640"}, []string{
			`KEYHOLE__CACHE__ENTRIES: cache.entries: want a whole number such as 10000, not "many"`,
			`KEYHOLE__IDENTITY__MAX_TTL: identity.max_ttl: want a duration such as 60s, not "60"; did you mean "60s"?`,
			`KEYHOLE__LISTEN__INSECURE_HTTP: listen.insecure_http: want true or false, not "1"; did you mean "true"?`,
			`KEYHOLE__LISTEN__NATIVE: listen.native: want HOST:PORT such as 127.0.0.1:8640, not "8640"`,
			`KEYHOLE__LOG__LEVEL: log.level: want one of debug, info, warn, error, not "warning"; did you mean "warn"?`,
		}},
		{"a secret in place of a reference", base, []string{"KEYHOLE__AUDIT__KEY=hunter2"}, []string{
			`KEYHOLE__AUDIT__KEY: audit.key: want a reference such as file:keys/NAME.pem or env:NAME, not this text`,
		}},
		{"a combination", base, []string{"KEYHOLE__LISTEN__NATIVE=0.0.0.0:80", "KEYHOLE__STATE__TYPE=memory", "KEYHOLE__STATE__PATH=x"}, []string{
			`KEYHOLE__LISTEN__NATIVE: listen.native: plain HTTP on an address that is not loopback; give tls, or set listen.insecure_http: true`,
			`KEYHOLE__STATE__PATH: state.path: only type file has this key, not type memory`,
		}},
		{"PORT", base, []string{"PORT=http"}, []string{`PORT: want a port number such as 8080`}},
		{"PORT 0", base, []string{"PORT=0"}, []string{`PORT: want a port number such as 8080`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode("k.yaml", tt.text, tt.environ...)
			if got := problems(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("got:\n%q\nwant:\n%q", got, tt.want)
			}
		})
	}
}

func TestPort(t *testing.T) {
	c := mustDecode(t, base+"listen: {native: \"127.0.0.1:1\"}\n", "PORT=8080")
	if c.Listen.Native.Address != "0.0.0.0:8080" || !c.Listen.FromPort {
		t.Errorf("got %+v", c.Listen)
	}
	// PORT permits the native address alone.
	_, err := decode("k.yaml", base+"listen: {vault: \":8200\"}\n", "PORT=8080")
	if got := problems(t, err); len(got) != 1 {
		t.Errorf("got %q, want one problem with listen.vault", got)
	}
	// An address chosen on purpose wins, and then PORT permits nothing.
	for _, name := range []string{"KEYHOLE__LISTEN__NATIVE", "KEYHOLE__LISTEN__NATIVE__ADDRESS"} {
		c = mustDecode(t, base, "PORT=8080", name+"=127.0.0.1:2")
		if c.Listen.Native.Address != "127.0.0.1:2" || c.Listen.FromPort {
			t.Errorf("%s: got %+v", name, c.Listen)
		}
		if _, err := decode("k.yaml", base, "PORT=8080", name+"=0.0.0.0:2"); err == nil {
			t.Errorf("%s: PORT permits plain HTTP on an address that it did not choose", name)
		}
	}
}

// TestEnvironmentKeepsTLS: an address put over a listener with TLS must not take the TLS away, nor the other way round.
func TestEnvironmentKeepsTLS(t *testing.T) {
	const withTLS = base + "listen: {native: {address: \"0.0.0.0:1\", tls: {cert: file:c, key: file:k}}}\n"
	for _, environ := range []string{"KEYHOLE__LISTEN__NATIVE=0.0.0.0:2", "PORT=2"} {
		c := mustDecode(t, withTLS, environ)
		if c.Listen.Native.Address != "0.0.0.0:2" || c.Listen.Native.TLS == nil {
			t.Errorf("%s: got %+v", environ, c.Listen.Native)
		}
	}
	c := mustDecode(t, base+"listen: {native: \"0.0.0.0:1\"}\n", "KEYHOLE__LISTEN__NATIVE__TLS__CERT=file:c", "KEYHOLE__LISTEN__NATIVE__TLS__KEY=file:k")
	if n := c.Listen.Native; n.Address != "0.0.0.0:1" || n.TLS == nil || n.TLS.Key != private("file:k") {
		t.Errorf("got %+v", n)
	}
}

// TestEnvironmentIsTheDocument: a value from the environment means what it means in the file.
func TestEnvironmentIsTheDocument(t *testing.T) {
	got := mustDecode(t, base, "KEYHOLE__LIMITS__MAX_IN_FLIGHT=7", "KEYHOLE__STATE__CHECK=2s")
	want := mustDecode(t, base+"limits: {max_in_flight: 7}\nstate: {check: 2s}\n")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOrigin(t *testing.T) {
	doc, err := yamlconf.Read("k.yaml", []byte(base+"listen: {native: \"127.0.0.1:1\"}\nlog: {level: info}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.ApplyEnv([]string{"PORT=8080", "KEYHOLE__LOG__FORMAT=text"}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"listen.native": "PORT", "log.format": "KEYHOLE__LOG__FORMAT", "log.level": "k.yaml:6:14", "audit.sinks[0].path": "k.yaml:4:30", "log.colour": "default", "cache": "default",
	} {
		if got := doc.Origin(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}
