package doctor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

const canary = "s.canary-credential-7d1f"

// beforeVault adds a vault and a mount of it to a set-up.
func beforeVault(t *testing.T, address, kv, auth string) (string, doctor.Config) {
	t.Helper()
	dir, c := setUp(t)
	edit(t, dir, "upstreams:\n", fmt.Sprintf("upstreams:\n  bao: {type: vault, address: %q, kv: %s, auth: %s}\n", address, kv, auth))
	edit(t, dir, "mounts:\n", "mounts:\n  - {path: bao, upstream: bao, at: apps/web}\n")
	return dir, c
}

// about is what is said of the upstreams.
func about(t *testing.T, c doctor.Config) []doctor.Finding {
	t.Helper()
	return of(t, "upstreams", c)
}

// of is what one check says. Everything else must be well.
func of(t *testing.T, check string, c doctor.Config) (found []doctor.Finding) {
	t.Helper()
	for _, f := range doctor.Examine(t.Context(), c) {
		switch {
		case f.Check == check:
			found = append(found, f)
		case f.Status != doctor.OK && f.Check != "disk":
			t.Errorf("got %+v, want ok", f)
		}
	}
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") {
		t.Errorf("a credential is shown: %s", text)
	}
	return found
}

func wantOne(t *testing.T, found []doctor.Finding, status doctor.Status, where, what string) {
	t.Helper()
	if len(found) != 1 || found[0].Status != status || found[0].Where != where || !strings.Contains(found[0].What, what) || (found[0].Fix == "") != (status == doctor.OK) {
		t.Errorf("got %+v, want %s at %s: %s", found, status, where, what)
	}
}

// What a real OpenBao lets be found out.
func TestUpstreams(t *testing.T) {
	bao := baotest.Start(t)
	one, two := bao.Mount(t, 1), bao.Mount(t, 2)
	bao.Must(t, "POST", "sys/mounts/transit", map[string]string{"type": "transit"})
	bao.Must(t, "POST", two+"/data/apps/web/x", map[string]any{"data": map[string]string{"a": canary}})
	bao.Policy(t, "good", map[string]string{
		one + "/apps/web/*": "read", two + "/data/apps/web/*": "read", two + "/metadata/apps/web/*": "read list", "transit/*": "read",
	})
	bao.Policy(t, "mistaken", map[string]string{two + "/apps/web/*": "read"}) // data/ forgotten
	bao.Policy(t, "values", map[string]string{two + "/data/apps/web/*": "read"})
	bao.Policy(t, "elsewhere", map[string]string{"nothing/*": "read"})
	issue := func(policies string, more map[string]any) string {
		body := map[string]any{"policies": strings.Fields(policies), "ttl": "2h"}
		for k, v := range more {
			body[k] = v
		}
		_, answer := bao.Do(t, "POST", "auth/token/create", body)
		return answer["auth"].(map[string]any)["client_token"].(string)
	}
	good := issue("good", nil)
	revoked := issue("good", nil)
	bao.Must(t, "POST", "auth/token/revoke", map[string]string{"token": revoked})
	roleID, secretID := bao.AppRole(t, "good", nil)
	second := fmt.Sprintf("{mount: %s}", two)
	const token, approle = "{method: token, token: 'file:keys/t'}", "{method: approle, role_id: 'env:ROLE', secret_id: 'file:keys/t'}"
	for name, tt := range map[string]struct {
		kv, auth, credential string
		status               doctor.Status
		where, what          string
	}{
		"good": {second, token, good, doctor.OK, "", two + " is kv version 2; " + two + "/data/apps/web/*: read, previous and versions, list"},
		"good, version 1": {
			fmt.Sprintf("{mount: %s, version: 1}", one), token, good, doctor.OK, "", one + "/apps/web/*: read",
		},
		"approle":             {second, approle, secretID, doctor.OK, "", "it takes the login"},
		"approle, inline":     {second, strings.Replace(approle, "}", ", inline: true}", 1), secretID, doctor.OK, "", "data/apps/web/*: read"},
		"a bad secret id":     {second, approle, canary, doctor.Fail, ".auth", "cannot log in"},
		"the same, inline":    {second, strings.Replace(approle, "}", ", inline: true}", 1), canary, doctor.Fail, ".auth", "cannot log in"},
		"no credential":       {second, token, " ", doctor.Fail, ".auth.token", "empty"},
		"a revoked token":     {second, token, revoked, doctor.Fail, ".auth.token", "expired"},
		"a token that ends":   {second, token, issue("good", map[string]any{"ttl": "10m"}), doctor.Warn, ".auth.token", "the token ends in "},
		"root":                {second, token, bao.Token, doctor.Warn, ".auth", "root"},
		"no such mount":       {"{mount: none}", token, good, doctor.Fail, ".kv.mount", "no engine at none"},
		"another engine":      {"{mount: transit}", token, good, doctor.Fail, ".kv.mount", `of type "transit"`},
		"version 2, not 1":    {fmt.Sprintf("{mount: %s, version: 1}", two), token, good, doctor.Fail, ".kv.version", "is of version 2"},
		"version 1, not 2":    {fmt.Sprintf("{mount: %s}", one), token, good, doctor.Fail, ".kv.version", "is of version 1"},
		"a mistaken policy":   {second, token, issue("mistaken", nil), doctor.Fail, ".auth", "no read capability on " + two + "/data/apps/web/*"},
		"another policy":      {second, token, issue("elsewhere", nil), doctor.Fail, ".kv.mount", "no capability in it"},
		"without \"default\"": {second, token, issue("good", map[string]any{"no_default_policy": true}), doctor.Fail, ".auth.token", "cannot log in"},
		"values alone, polled": {
			second, token + ", poll: {interval: 5s}", issue("values", nil), doctor.Warn, ".poll", "no read capability on " + two + "/metadata/apps/web/*",
		},
		"values alone": {second, token, issue("values", nil), doctor.OK, "", "data/apps/web/*: read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := beforeVault(t, bao.URL, tt.kv, tt.auth)
			put(t, dir, "keys/t", tt.credential)
			c.Getenv = func(name string) string { return map[string]string{"ROLE": roleID}[name] }
			before := tree(t, dir)
			wantOne(t, about(t, c), tt.status, "upstreams.bao"+tt.where, tt.what)
			if tree(t, dir) != before {
				t.Error("something was changed")
			}
		})
	}
	t.Run("a credential for others to read", func(t *testing.T) {
		dir, c := beforeVault(t, bao.URL, second, token)
		put(t, dir, "keys/t", good)
		chmod(t, dir, "keys/t", 0o644)
		for _, f := range doctor.Examine(t.Context(), c) {
			if f.Check == "permissions" && f.Status == doctor.Fail && strings.HasSuffix(f.Where, "keys/t") {
				return
			}
		}
		t.Error("nothing is said of it")
	})
	t.Run("sealed", func(t *testing.T) {
		bao.Seal(t)
		defer bao.Unseal(t)
		dir, c := beforeVault(t, bao.URL, second, token)
		put(t, dir, "keys/t", good)
		wantOne(t, about(t, c), doctor.Fail, "upstreams.bao.address", "sealed")
	})
}

// A mount of fields may begin at the one object that holds them, which is then all that a policy has to give.
func TestPlaceThatIsOneObject(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	object, below := mount+"/data/apps/shop", mount+"/data/apps/shop/*"
	for name, tt := range map[string]struct {
		rules  map[string]string
		layout string
		status doctor.Status
		what   string
	}{
		"the object":             {map[string]string{object: "read"}, "fields", doctor.OK, object + ": read"},
		"what lies below":        {map[string]string{below: "read"}, "fields", doctor.OK, below + ": read"},
		"neither":                {map[string]string{mount + "/metadata/*": "list"}, "fields", doctor.Fail, "no read capability on " + object + " and none on " + below},
		"the object, of secrets": {map[string]string{object: "read"}, "objects", doctor.Fail, "no read capability on " + below},
	} {
		t.Run(name, func(t *testing.T) {
			bao.Policy(t, "shop", tt.rules)
			roleID, secretID := bao.AppRole(t, "shop", nil)
			dir, c := beforeVault(t, bao.URL, fmt.Sprintf("{mount: %s}", mount), "{method: approle, role_id: 'env:ROLE', secret_id: 'file:keys/t'}")
			put(t, dir, "keys/t", secretID)
			edit(t, dir, "at: apps/web}", "at: apps/shop, layout: "+tt.layout+"}")
			c.Getenv = func(name string) string { return map[string]string{"ROLE": roleID}[name] }
			where := "upstreams.bao"
			if tt.status == doctor.Fail {
				where += ".auth"
			}
			wantOne(t, about(t, c), tt.status, where, tt.what)
		})
	}
}

// In a namespace a server says nothing of itself.
func TestNamespaceOfAnUpstream(t *testing.T) {
	bao := baotest.Start(t)
	bao.Must(t, "POST", "sys/namespaces/team", map[string]any{})
	bao.Must(t, "POST", "team/sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	look := func(namespace string) []doctor.Finding {
		dir, c := beforeVault(t, bao.URL, "{mount: kv}, namespace: "+namespace, "{method: token, token: 'file:keys/t'}")
		put(t, dir, "keys/t", bao.Token)
		return about(t, c)
	}
	wantOne(t, look("team"), doctor.Warn, "upstreams.bao.auth", "root")
	wantOne(t, look("none"), doctor.Fail, "upstreams.bao.auth", "no such mount, namespace or route")
	bao.Seal(t)
	wantOne(t, look("team"), doctor.Fail, "upstreams.bao.address", "sealed")
}

// What stands where a vault should.
func TestNoVaultThere(t *testing.T) {
	health := `{"initialized":true,"sealed":false,"standby":false}`
	for name, tt := range map[string]struct {
		answer  func(http.ResponseWriter)
		address string
		want    string
	}{
		"nobody":          {nil, "http://" + proxytest.Nobody(t), "cannot connect"},
		"TLS":             {func(http.ResponseWriter) {}, "https", "does not speak TLS"},
		"a gateway":       {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>canary") }, "", "no Vault and no OpenBao"},
		"another API":     {func(w http.ResponseWriter) { fmt.Fprint(w, `{"ok":true}`) }, "", "no Vault and no OpenBao"},
		"a redirect":      {func(w http.ResponseWriter) { w.Header().Set("Location", "/login"); w.WriteHeader(302) }, "", "no Vault and no OpenBao"},
		"not initialised": {func(w http.ResponseWriter) { w.WriteHeader(501); fmt.Fprint(w, health) }, "", "not initialised"},
		"a secondary":     {func(w http.ResponseWriter) { w.WriteHeader(472); fmt.Fprint(w, health) }, "", "disaster recovery"},
	} {
		t.Run(name, func(t *testing.T) {
			address := tt.address
			if tt.answer != nil {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
				defer s.Close()
				address += strings.TrimPrefix(s.URL, "http"[:min(4, 4*len(tt.address))])
			}
			dir, c := beforeVault(t, address, "{mount: secret}", "{method: token, token: 'file:keys/t'}")
			put(t, dir, "keys/t", canary)
			wantOne(t, about(t, c), doctor.Fail, "upstreams.bao.address", tt.want)
		})
	}
}

// A clock that is off is told of beside what else is wrong.
func TestClockOfAnUpstream(t *testing.T) {
	for off, want := range map[time.Duration]string{
		0: "", 25 * time.Second: "", -25 * time.Second: "", 10 * time.Minute: "10m0s ahead of ours", -10 * time.Minute: "10m0s behind ours",
	} {
		now := time.Now()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", now.Add(off).UTC().Format(http.TimeFormat))
			w.WriteHeader(503)
			fmt.Fprint(w, `{"initialized":true,"sealed":true}`)
		}))
		dir, c := beforeVault(t, s.URL, "{mount: secret}", "{method: token, token: 'file:keys/t'}")
		put(t, dir, "keys/t", canary)
		c.Wall = func() time.Time { return now.Truncate(time.Second) }
		found := about(t, c)
		s.Close()
		if want == "" {
			wantOne(t, found, doctor.Fail, "upstreams.bao.address", "sealed")
			continue
		}
		if len(found) != 2 {
			t.Fatalf("%s: got %+v", off, found)
		}
		wantOne(t, found[:1], doctor.Warn, "upstreams.bao", want)
	}
}
