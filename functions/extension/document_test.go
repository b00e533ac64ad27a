package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// document is a configuration of one's own: the native API besides, tokens of Keyhole besides the function's, and less for
// the function than for them.
const document = `{
  "version": 1,
  "listen": {"aws": "127.0.0.1:AWS", "native": "127.0.0.1:NATIVE"},
  "identity": {
    "issuer": "https://keyhole.test", "audience": "https://keyhole.test", "signing_key": "file:keys/signing.pem", "keys": "file:keys/jwks.json",
    "function": {"scope": ["read:web/*", "list:web/*"]}
  },
  "upstreams": {"sm": {"type": "secretsmanager"}},
  "mounts": [{"path": "web", "upstream": "sm", "at": "apps"}, {"path": "other", "upstream": "sm", "at": "apps"}],
  "state": {"type": "memory"},
  "audit": {"key": "file:keys/audit.key", "sinks": [{"type": "stdout"}]}
}`

func TestDocumentOfThePackage(t *testing.T) {
	dir, aws, native := t.TempDir(), porttest.Reserve(t), porttest.Reserve(t)
	proxytest.WriteDocument(t, dir, "") // makes the keys
	file := filepath.Join(dir, "keyhole.json")
	if err := os.WriteFile(file, []byte(strings.NewReplacer("AWS", aws, "NATIVE", native).Replace(document)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := edge.Drivers().Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := proxytest.Issuer(c)(t, map[string]string{"scope": "read:other/*"})
	// What the variables of the original say is for whoever has no document.
	p := setting{dir: dir, env: []string{"SECRETS_MANAGER_TTL=none", "START=http://127.0.0.1:1"}}.ready(t)
	p.url = "http://127.0.0.1:" + aws
	p.want(t, "/secretsmanager/get?secretId=web/DB", 200, "first")
	p.want(t, "/secretsmanager/get?secretId=other/DB", 400, "AccessDeniedException")
	p.get(t, "/secretsmanager/get?secretId=other/DB", tokenHeader, token).want(t, "a token of Keyhole", 200, "first")

	p.url = "http://127.0.0.1:" + native
	const session = "Bearer ${AWS_SESSION_TOKEN}"
	for name, row := range map[string]struct {
		uri     string
		status  int
		part    string
		headers []string
	}{
		"the function":      {"/v1/secrets/web/DB", 200, `"value":"first"`, []string{"Authorization", session}},
		"beyond its scope":  {"/v1/secrets/other/DB", 403, `"scope_denied"`, []string{"Authorization", session}},
		"a token":           {"/v1/secrets/other/DB", 200, `"value":"first"`, []string{"Authorization", "Bearer " + token}},
		"the dialect's way": {"/v1/secrets/web/DB", 401, `"unauthenticated"`, nil},
		"who it is":         {"/v1/whoami", 200, `"trust":"function","issuer":"function","subject":"keyhole"`, []string{"Authorization", session}},
		"a proxy":           {"/v1/secrets/web/DB", 400, `"Forwarded"`, []string{"Authorization", session, "X-Forwarded-For", "127.0.0.1"}},
		"a browser":         {"/v1/secrets/web/DB", 403, `"policy_denied"`, []string{"Authorization", session, "Sec-Fetch-Site", "none"}},
		"another name":      {"/v1/secrets/web/DB", 403, `"policy_denied"`, []string{"Authorization", session, "Host", "rebound.example"}},
		"health, renamed":   {"/healthz", 403, `"policy_denied"`, []string{"Host", "rebound.example"}},
		"health":            {"/healthz", 200, "ok", nil},
	} {
		p.get(t, row.uri, row.headers...).want(t, name, row.status, row.part)
	}
}
