package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

func rootToken(s *baotest.Server) vault.Login { return vault.TokenFrom(constant(s.Token)) }

// A 404 of OpenBao that says nothing about the secret.
func TestMissingRoutes(t *testing.T) {
	bao := baotest.Start(t)
	second := bao.Mount(t, 2)
	bao.Must(t, "POST", second+"/data/there", map[string]any{"data": map[string]string{"a": "1"}})
	for name, tt := range map[string]struct {
		mount     string
		version   int
		namespace string
		want      error
	}{
		"good":                     {second, 2, "", secret.ErrNotFound},
		"no such mount":            {"nomount", 2, "", vault.ErrNoRoute},
		"no such mount, version 1": {"nomount", 1, "", vault.ErrNoRoute},
		"version 2 taken for 1":    {second, 1, "", vault.ErrNoRoute},
		"no such namespace":        {second, 2, "none", secret.ErrUnavailable},
	} {
		u := open(t, vault.Config{Address: bao.URL, Mount: tt.mount, Version: tt.version, Namespace: tt.namespace, Login: rootToken(bao)})
		_, err := u.Read(t.Context(), "missing", secret.Current)
		wantKind(t, name, err, tt.want)
	}
	u := open(t, vault.Config{Address: bao.URL, Mount: second, Version: 2, Login: rootToken(bao)})
	if _, err := u.Read(t.Context(), "there", secret.Current); err != nil {
		t.Fatal(err)
	}
	bao.Must(t, "DELETE", "sys/mounts/"+second, nil)
	_, err := u.Read(t.Context(), "there", secret.Current)
	wantKind(t, "after the mount was removed", err, vault.ErrNoRoute)
}

func TestNamespace(t *testing.T) {
	bao := baotest.Start(t)
	bao.Must(t, "POST", "sys/namespaces/team", map[string]any{})
	bao.Must(t, "POST", "team/sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	bao.Must(t, "POST", "team/kv/x", map[string]string{"a": "of the team"})
	bao.Must(t, "POST", "team/sys/auth/approle", map[string]any{"type": "approle"})
	bao.Must(t, "POST", "team/sys/policies/acl/reader", map[string]any{"policy": `path "kv/*" { capabilities = ["read"] }`})
	bao.Must(t, "POST", "team/auth/approle/role/r", map[string]any{"token_policies": "reader"})
	roleID, _ := bao.Must(t, "GET", "team/auth/approle/role/r/role-id", nil)["role_id"].(string)
	secretID, _ := bao.Must(t, "POST", "team/auth/approle/role/r/secret-id", nil)["secret_id"].(string)
	for _, inline := range []bool{false, true} {
		u := open(t, vault.Config{
			Address: bao.URL, Namespace: "team", Mount: "kv", Version: 1, Inline: inline,
			Login: vault.AppRole("approle", constant(roleID), constant(secretID)),
		})
		s, err := u.Read(t.Context(), "x", secret.Current)
		if err != nil {
			t.Fatalf("inline %t: %v", inline, err)
		}
		if v, _ := s.Field("a"); string(v.Reveal()) != "of the team" {
			t.Errorf("got %q", v.Reveal())
		}
	}
}

// Versions that were deleted and destroyed in the vault itself.
func TestDeletedVersions(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 2, Login: rootToken(bao)})
	put := func() { bao.Must(t, "POST", mount+"/data/x", map[string]any{"data": map[string]string{"a": "1"}}) }
	versions := func(path string, n ...int) {
		bao.Must(t, "POST", mount+"/"+path+"/x", map[string]any{"versions": n})
	}
	want := func(doing, current, previous, states string) {
		t.Helper()
		for selector, want := range map[secret.Version]string{secret.Current: current, secret.Previous: previous} {
			s, err := u.Read(t.Context(), "x", selector)
			switch {
			case want == "":
				wantKind(t, doing+": reading "+string(selector), err, secret.ErrNotFound)
			case err != nil:
				t.Errorf("%s: reading %s: %v", doing, selector, err)
			case string(s.Version) != want:
				t.Errorf("%s: %s is %s, want %s", doing, selector, s.Version, want)
			}
		}
		all, err := u.(secret.Versioner).Versions(t.Context(), "x")
		if states == "" {
			wantKind(t, doing+": versions", err, secret.ErrNotFound)
			return
		}
		var got []string
		for _, v := range all {
			got = append(got, string(v.Version)+" "+string(v.State))
		}
		if s := strings.Join(got, ", "); s != states || err != nil {
			t.Errorf("%s: versions are %s (%v), want %s", doing, s, err, states)
		}
	}
	for range 4 {
		put()
	}
	want("four versions", "4", "3", "4 current, 3 previous, 2 old, 1 old")
	versions("delete", 3)
	want("the third deleted", "4", "2", "4 current, 3 destroyed, 2 previous, 1 old")
	versions("destroy", 2)
	want("the second destroyed", "4", "1", "4 current, 3 destroyed, 2 destroyed, 1 previous")
	versions("delete", 4)
	want("the newest deleted", "", "", "4 destroyed, 3 destroyed, 2 destroyed, 1 old")
	if s, err := u.Read(t.Context(), "x", "1"); err != nil || s.Version != "1" {
		t.Errorf("reading what is left: %v", err)
	}
	versions("undelete", 3)
	want("the third back", "", "", "4 destroyed, 3 old, 2 destroyed, 1 old")

	w := u.(secret.Writer)
	s := &secret.Secret{Fields: []secret.Field{{Name: "a", Value: secret.NewValue([]byte("5"))}}}
	if _, _, err := w.Write(t.Context(), "x", secret.Write{Secret: s, IfVersion: "4"}); err == nil {
		t.Error("a write on condition of a deleted version is made")
	}
	if v, created, err := w.Write(t.Context(), "x", secret.Write{Secret: s, IfVersion: "0"}); v != "5" || !created || err != nil {
		t.Errorf("writing what is deleted: %s, %t, %v", v, created, err)
	}
	want("a fifth version", "5", "3", "5 current, 4 destroyed, 3 previous, 2 destroyed, 1 old")
	versions("destroy", 1, 2, 3, 4, 5)
	want("all destroyed", "", "", "")
	bao.Must(t, "DELETE", mount+"/metadata/x", nil)
	want("without metadata", "", "", "")
	put()
	want("begun anew", "1", "", "1 current")
	put()
	bao.Must(t, "POST", mount+"/metadata/x", map[string]any{"max_versions": 2, "delete_version_after": "1h"})
	put()
	want("a version that will be deleted in an hour", "3", "2", "3 current, 2 previous")
	if _, unique := u.(secret.UniqueVersions); unique {
		t.Error("numbers begin anew, so they are not unique")
	}
}

// A deletion leaves nothing to bring back, not even of versions that were deleted before.
func TestDeletionIsForGood(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 2, Login: rootToken(bao)})
	for range 3 {
		bao.Must(t, "POST", mount+"/data/x", map[string]any{"data": map[string]string{"a": "1"}})
	}
	bao.Must(t, "POST", mount+"/delete/x", map[string]any{"versions": []int{1, 3}})
	if err := u.(secret.Deleter).Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	bao.Must(t, "POST", mount+"/undelete/x", map[string]any{"versions": []int{1, 2, 3}})
	for _, v := range []secret.Version{"1", "2", "3"} {
		_, err := u.Read(t.Context(), "x", v)
		wantKind(t, "reading version "+string(v), err, secret.ErrNotFound)
	}
}

// What a writer sees that the engine does not take.
func TestWritesOutsideTheEngine(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 2, Login: rootToken(bao)})
	w := u.(secret.Writer)
	fields := []secret.Field{{Name: "a", Value: secret.NewValue([]byte("1"))}}
	for name, s := range map[string]*secret.Secret{
		"an opaque value":      {Value: secret.NewValue([]byte("x"))},
		"nothing":              nil,
		"empty metadata":       {Fields: fields, Metadata: map[string]string{"a": ""}},
		"long metadata":        {Fields: fields, Metadata: map[string]string{"a": strings.Repeat("x", 513)}},
		"unprintable metadata": {Fields: fields, Metadata: map[string]string{"a": "x\ny"}},
	} {
		_, _, err := w.Write(t.Context(), "x", secret.Write{Secret: s})
		wantKind(t, name, err, secret.ErrInvalidSecret)
	}
	_, err := u.Read(t.Context(), "x", secret.Current)
	wantKind(t, "reading what was not written", err, secret.ErrNotFound)
	// A secret that demands a check-and-set of its writers, and fields that look like commands.
	bao.Must(t, "POST", mount+"/metadata/x", map[string]any{"cas_required": true})
	s := &secret.Secret{Fields: []secret.Field{{Name: "cas", Value: secret.NewValue([]byte("7\u2028\""))}, {Name: "options", Value: secret.NewValue(nil)}}}
	if v, created, err := w.Write(t.Context(), "x", secret.Write{Secret: s}); v != "1" || !created || err != nil {
		t.Errorf("got %s, %t, %v", v, created, err)
	}
	got, err := u.Read(t.Context(), "x", secret.Current)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := got.Field("cas"); string(v.Reveal()) != "7\u2028\"" {
		t.Errorf("got %q", v.Reveal())
	}
}

// The least that a policy must give: to read, and to list below the place of a mount but not beside it.
func TestLeastPrivilege(t *testing.T) {
	bao := baotest.Start(t)
	for _, version := range []int{1, 2} {
		mount := bao.Mount(t, version)
		data, metadata := mount+"/", mount+"/"
		if version == 2 {
			data, metadata = mount+"/data/", mount+"/metadata/"
		}
		for _, name := range []string{"apps/web/a", "apps/web/sub/b", "apps/web", "apps/other/c"} {
			body := map[string]any{"a": "1"}
			if version == 2 {
				body = map[string]any{"data": body}
			}
			bao.Must(t, "POST", data+name, body)
		}
		bao.Policy(t, "least", map[string]string{data + "apps/web/*": "read list", metadata + "apps/web/*": "read list"})
		roleID, secretID := bao.AppRole(t, "least", nil)
		u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: version, Login: vault.AppRole("approle", constant(roleID), constant(secretID))})
		if _, err := u.Read(t.Context(), "apps/web/a", secret.Current); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		_, err := u.Read(t.Context(), "apps/other/c", secret.Current)
		wantKind(t, "reading beside", err, secret.ErrDenied)
		_, err = u.Read(t.Context(), "apps/other/none", secret.Current)
		wantKind(t, "reading what is not there beside", err, secret.ErrDenied)
		var names []string
		items, err := u.(secret.Lister).List(t.Context(), "apps/web", "", 10)
		for _, it := range items {
			names = append(names, it.Name)
		}
		if want := []string{"apps/web/a", "apps/web/sub/b"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("version %d lists %q (%v), want %q", version, names, err, want)
		}
		_, err = u.(secret.Lister).List(t.Context(), "", "", 10)
		wantKind(t, "listing everything", err, secret.ErrDenied)
	}
}

// A listing asks for the object at its prefix, which the least policy does not give. That costs no login: logins leave
// tokens behind and may be numbered.
func TestListingBelievesARefusal(t *testing.T) {
	bao := baotest.Start(t)
	for _, version := range []int{1, 2} {
		mount := bao.Mount(t, version)
		part := mount
		if version == 2 {
			part += "/metadata"
		}
		bao.Policy(t, "list", map[string]string{part + "/apps/web/*": "read list"})
		roleID, secretID := bao.AppRole(t, "list", map[string]any{"secret_id_num_uses": 1})
		e := newEdge(t, bao.URL)
		u := open(t, vault.Config{Address: e.URL, Mount: mount, Version: version, Login: vault.AppRole("approle", constant(roleID), constant(secretID))})
		for range 3 {
			if _, err := u.(secret.Lister).List(t.Context(), "apps/web", "", 10); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
		}
		logins := 0
		for _, call := range e.asked() {
			if strings.HasPrefix(call, "POST auth/") {
				logins++
			}
		}
		if logins != 1 {
			t.Errorf("version %d: three listings took %d logins, want 1", version, logins)
		}
	}
}

// A short-lived token is renewed for as long as the role allows, and then replaced.
func TestRealRenewal(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	bao.Must(t, "POST", mount+"/data/x", map[string]any{"data": map[string]string{"a": "1"}})
	bao.Policy(t, "renewing", map[string]string{mount + "/*": "read"})
	roleID, secretID := bao.AppRole(t, "renewing", map[string]any{"token_ttl": "100s", "token_max_ttl": "1h"})
	e, c := newEdge(t, bao.URL), &clock{}
	c.step(time.Since(c.wall()))
	u := open(t, vault.Config{Address: e.URL, Mount: mount, Version: 2, Wall: c.wall, Login: vault.AppRole("approle", constant(roleID), constant(secretID))})
	read := func(want ...string) {
		t.Helper()
		if _, err := u.Read(t.Context(), "x", secret.Current); err != nil {
			t.Error(err)
		}
		if got := e.asked(); !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	get := "GET " + mount + "/data/x"
	read("POST auth/approle/login", get)
	read(get)
	c.step(85 * time.Second)
	// For the vault no time has passed, so that the renewal sets the life back to what it was: worth it by our clock.
	read("POST auth/token/renew-self", get)
	read(get)
	c.step(101 * time.Second)
	read("POST auth/approle/login", get)
}

// A token file as an agent keeps it, and one whose token the vault does not know.
func TestRealTokenFile(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 1)
	bao.Must(t, "POST", mount+"/x", map[string]any{"a": "1"})
	bao.Policy(t, "file", map[string]string{mount + "/x": "read"})
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issue := func() string {
		_, answer := bao.Do(t, "POST", "auth/token/create", map[string]any{"policies": []string{"file"}, "ttl": "1h"})
		return answer["auth"].(map[string]any)["client_token"].(string)
	}
	u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 1, Login: vault.TokenFrom(func() ([]byte, error) { return os.ReadFile(file) })})
	_, err := u.Read(t.Context(), "x", secret.Current)
	wantKind(t, "before there is a file", err, vault.ErrLogin)
	first := issue()
	write(first)
	if _, err := u.Read(t.Context(), "x", secret.Current); err != nil {
		t.Fatal(err)
	}
	bao.Must(t, "POST", "auth/token/revoke", map[string]string{"token": first})
	_, err = u.Read(t.Context(), "x", secret.Current)
	wantKind(t, "with a token that was revoked", err, vault.ErrLogin)
	write(issue())
	if _, err := u.Read(t.Context(), "x", secret.Current); err != nil {
		t.Errorf("with the next token: %v", err)
	}
	_, err = u.Read(t.Context(), "other", secret.Current)
	wantKind(t, "what the token may not read", err, secret.ErrDenied)
}

// Logins with a JSON Web Token, at the auth methods jwt and kubernetes of OpenBao, kept and inline.
func TestRealJWTLogins(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	bao.Must(t, "POST", mount+"/data/x", map[string]any{"data": map[string]string{"a": "1"}})
	bao.Policy(t, "workload", map[string]string{mount + "/data/*": "read"})

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	bao.Must(t, "POST", "sys/auth/oidc", map[string]any{"type": "jwt"})
	bao.Must(t, "POST", "auth/oidc/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}})
	bao.Must(t, "POST", "auth/oidc/role/edge", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "token_policies": "workload",
	})
	good := signed(t, key, map[string]any{"sub": "edge", "aud": []string{"vault"}, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	ended := signed(t, key, map[string]any{"sub": "edge", "aud": []string{"vault"}, "exp": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()})

	// The API of a cluster, as far as the auth method asks it: is this the token of a service account?
	cluster := newEdge(t, "")
	cluster.interpose(func(w http.ResponseWriter, r *http.Request) bool {
		var review struct{ Spec struct{ Token string } }
		_ = json.NewDecoder(r.Body).Decode(&review)
		reply(w, 201, fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":%t,"audiences":["vault"],"user":{
			"username":"system:serviceaccount:apps:edge","uid":"1","groups":["system:serviceaccounts"]}}}`, review.Spec.Token == good))
		return true
	})
	bao.Must(t, "POST", "sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	bao.Must(t, "POST", "auth/kubernetes/config", map[string]any{"kubernetes_host": cluster.URL, "token_reviewer_jwt": good, "disable_local_ca_jwt": true, "kubernetes_ca_cert": string(newAuthority(t).pem)})
	bao.Must(t, "POST", "auth/kubernetes/role/edge", map[string]any{
		"bound_service_account_names": "edge", "bound_service_account_namespaces": "apps", "token_policies": "workload", "alias_name_source": "serviceaccount_name",
	})
	for _, method := range []string{"oidc", "kubernetes"} {
		for _, inline := range []bool{false, true} {
			read := func(role, token, name string) error {
				u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 2, Inline: inline, Login: vault.JWT(method, role, constant(token))})
				_, err := u.Read(t.Context(), name, secret.Current)
				return err
			}
			doing := fmt.Sprintf("%s, inline %t: ", method, inline)
			if err := read("edge", good, "x"); err != nil {
				t.Errorf("%s%v", doing, err)
			}
			wantKind(t, doing+"no such secret", read("edge", good, "none"), secret.ErrNotFound)
			wantKind(t, doing+"a token that has ended", read("edge", ended, "x"), vault.ErrLogin)
			wantKind(t, doing+"no such role", read("none", good, "x"), vault.ErrLogin)
		}
	}
}

// signed makes a JSON Web Token of ES256.
func signed(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	claims["kubernetes.io"] = map[string]any{"namespace": "apps", "serviceaccount": map[string]string{"name": "edge", "uid": "1"}}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(body)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encode(signature)
}
