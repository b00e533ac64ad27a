package httpapi_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// A project token that was made, used, refused and revoked is in no file of the server's directory, and in no line of its
// log: only its digest is, in the state.
func TestProjectTokenIsInNoFile(t *testing.T) {
	var logged proxytest.Buffer
	s := proxytest.NewServer(t, proxytest.Options{Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	n := over(t, s)
	scopes, err := policy.ParseScopes("read:web/preview/*")
	if err != nil {
		t.Fatal(err)
	}
	admin := &proxy.Call{Token: proxytest.Issuer(s.Config)(t, map[string]string{"scope": "revoke:** read:**"}), SourceIP: "192.0.2.1"}
	token, made, err := s.App.Proxy.CreateProjectToken(t.Context(), admin, proxy.ProjectTokenRequest{Environment: "preview", Scopes: scopes, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{"/v1/secrets/web/preview/A": http.StatusNotFound, "/v1/secrets/web/production/A": http.StatusForbidden, "/v1/whoami": http.StatusOK} {
		w := httptest.NewRecorder()
		ask(n, w, token, http.MethodGet, target, http.NoBody)
		if w.Code != want || strings.Contains(w.Body.String(), token[len(token)-36:]) {
			t.Errorf("%s: got %d %s, want %d", target, w.Code, w.Body, want)
		}
	}
	w := httptest.NewRecorder()
	ask(n, w, token, http.MethodPost, "/v1/revocations", strings.NewReader(`{"token_id":"`+made.ID()+`","reason":"x"}`))
	if w.Code != http.StatusCreated {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	for _, sent := range []string{token, token + "0", token[:len(token)-1]} {
		w := httptest.NewRecorder()
		if ask(n, w, sent, http.MethodGet, "/v1/whoami", http.NoBody); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), token[len(token)-36:]) {
			t.Errorf("got %d %s, want 401", w.Code, w.Body)
		}
	}
	if err := s.App.Proxy.Close(); err != nil { // the last use is written
		t.Fatal(err)
	}
	random, ids := token[len("kh_preview_"):len(token)-6], 0
	err = filepath.WalkDir(s.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte(made.ID())) {
			ids++
		}
		for from := 0; from+12 <= len(random); from++ {
			if bytes.Contains(text, []byte(random[from:from+12])) {
				t.Errorf("%s holds a part of the token", name)
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ids < 2 {
		t.Errorf("%d files hold the token's ID, want the state and the audit log", ids)
	}
	if text := logged.String(); strings.Contains(text, random[:12]) || text == "" {
		t.Errorf("the log holds a part of the token, or nothing: %s", text)
	}
}
