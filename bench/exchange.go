package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// exchangers is how many tokens of a platform take turns: more than a server remembers.
const exchangers = 4500

// exchanges measures POST /v1/token, from the form to the acknowledged record and the answer, without a network: a token
// of a platform that the server has not seen for an access token, and an access token for a narrower one.
func exchanges(ctx context.Context, o options, r *report.Report) (err error) {
	dir, err := os.MkdirTemp("", "keyhole-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := oidcemu.NewKey("EdDSA", "platform-1") // of RS256 so many take long to sign
	a, err := exchangeServer(ctx, filepath.Join(dir, "server"), key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	all := signPlatformTokens(key, exchangers)
	e := &exchanger{RoundTripper: a.InProcess()}
	access := make([]string, exchangers)
	for i := range access {
		if access[i], err = e.exchange(all[i], ""); err != nil {
			return err
		}
	}
	// A server that answered without a look would be fast.
	if _, err := e.exchange(all[0]+"A", ""); err == nil {
		return errors.New("a token with another signature is exchanged")
	}
	if _, err := e.exchange(access[0], "write:web/production/STRIPE_KEY"); err == nil {
		return errors.New("a token is exchanged for a wider one")
	}
	own, err := identity.GenerateSigningKey()
	if err != nil {
		return err
	}
	baseline := func(b *testing.B) error {
		public := key.Private.Public().(ed25519.PublicKey)
		for i := 0; b.Loop(); i++ {
			token := all[i%exchangers]
			if err := plainVerify(public, token); err != nil {
				return err
			}
			ed25519.Sign(own, []byte(token))
		}
		return nil
	}
	turn := 0 // goes on from run to run: what the server remembers of one is not new to it in the next
	for _, row := range []struct {
		name  string
		token func() string
		scope string
	}{
		{"exchange_platform", func() string { turn++; return all[turn%exchangers] }, ""},
		{"exchange_narrow", func() string { turn++; return access[turn%exchangers] }, "read:" + benchPath},
	} {
		m, err := micro{func(b *testing.B) error {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.exchange(row.token(), row.scope); err != nil {
					return err
				}
			}
			return nil
		}, baseline}.measure(ctx, o)
		if err != nil {
			return err
		}
		res := m.result(row.name, "ns/op", report.Budget{})
		res.Against = "crypto/ed25519 and encoding/json for one verification and one signature, without HTTP and a record"
		res.Notes = []string{fmt.Sprintf("%v allocs/op", m.allocs)}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

// exchangeServer is what "keyhole serve" runs, but for the listeners, with a trust rule whose keys are in a file.
func exchangeServer(ctx context.Context, dir string, key *oidcemu.Key) (*app.App, error) {
	if err := devdir.Create(dir, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, devdir.ConfigFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Nobody is at jwks_uri: the bundled keys serve.
	rule := fmt.Sprintf(`  trust:
    - name: platform
      issuer: %s
      jwks: file:platform.json
      jwks_uri: https://127.0.0.1:1/jwks
      allow_private: true
      algs: [EdDSA]
      audiences: [%q]
      require: {project_id: [prj_0], environment: [production]}
      map: {base: web/production, scope: ["read:web/production/**"]}
upstreams:
`, platformIssuer, benchIssuer)
	text = bytes.Replace(text, []byte("listen:\n"), []byte("listen:\n  trusted_proxies: [127.0.0.1/32]\n"), 1)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "platform.json"), oidcemu.JWKS(key), 0o600),
		os.WriteFile(file, bytes.Replace(text, []byte("upstreams:\n"), []byte(rule), 1), 0o600),
	)
	if err != nil {
		return nil, err
	}
	c, err := full.Drivers().Load(file, nil)
	if err != nil {
		return nil, err
	}
	a, err := app.New(ctx, c, full.Drivers(), app.Options{})
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// exchanger posts forms to the token endpoint, each from another address: one address, as one principal, has only so many
// tokens issued in a second.
type exchanger struct {
	http.RoundTripper
	from uint16
}

func (e *exchanger) exchange(token, scope string) (string, error) {
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "subject_token": {token},
	}
	if scope != "" {
		form.Set("scope", scope)
	}
	req, err := http.NewRequest(http.MethodPost, "http://in-process.invalid/v1/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	e.from++
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("192.168.%d.%d", e.from>>8, e.from&255))
	resp, err := e.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var issued api.IssuedToken
	if err := json.Unmarshal(answer, &issued); err != nil || resp.StatusCode != http.StatusOK || issued.ExpiresIn > int64(time.Hour/time.Second) {
		return "", fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return issued.AccessToken, nil
}
