package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// strangers is how many tokens take turns, far more than the verifier remembers: each is new to it every time.
const (
	strangers  = 1024
	remembered = 32
)

// tokens measures the verification of an access token, new to the verifier and remembered by it.
func tokens(ctx context.Context, o options, r *report.Report) error {
	key, err := identity.GenerateSigningKey()
	if err != nil {
		return err
	}
	all, err := signTokens(key)
	if err != nil {
		return err
	}
	public := key.Public().(ed25519.PublicKey)
	keys, err := identity.NewKeySet(public)
	if err != nil {
		return err
	}
	v, err := identity.New(identity.Config{Issuer: benchIssuer, Audience: benchIssuer, Keys: keys, CacheEntries: remembered})
	if err != nil {
		return err
	}
	if err := checkStrangers(ctx, v, all); err != nil {
		return err
	}
	baseline := func(b *testing.B) error {
		for i := 0; b.Loop(); i++ {
			if err := plainVerify(public, all[i%strangers]); err != nil {
				return err
			}
		}
		return nil
	}
	const against = "crypto/ed25519 and encoding/json for header and claims, without any check of what they say"
	for _, row := range []struct {
		name  string
		every int // tokens that take turns
	}{{"token_verify", strangers}, {"token_verify_cached", 1}} {
		m, err := micro{func(b *testing.B) error {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.Verify(ctx, all[i%row.every]); err != nil {
					return err
				}
			}
			return nil
		}, baseline}.measure(ctx, o)
		if err != nil {
			return err
		}
		res := m.result(row.name, "ns/op", report.Budget{})
		res.Against, res.Notes = against, []string{fmt.Sprintf("%v allocs/op", m.allocs)}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

const benchIssuer = "https://keyhole.localhost"

func signTokens(key ed25519.PrivateKey) ([]string, error) {
	s, err := identity.NewSigner(key, benchIssuer, benchIssuer)
	if err != nil {
		return nil, err
	}
	scopes, err := policy.ParseScopes(benchScope)
	if err != nil {
		return nil, err
	}
	now := time.Now().Truncate(time.Second)
	all := make([]string, strangers)
	for i := range all {
		all[i], err = s.Sign(identity.Claims{
			Subject: "bench", ClientID: "keyhole-cli", TokenID: audit.NewID(now), Scopes: scopes, Trust: "local",
			OriginIssuer: benchIssuer, IssuedAt: now, Expires: now.Add(time.Hour),
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkStrangers proves that a token is verified anew when its turn comes again, and not when it comes at once: the
// verifier hands out what it remembers, pointer and all.
func checkStrangers(ctx context.Context, v *identity.Verifier, all []string) error {
	first := make([]*identity.Verified, len(all))
	for round := range 2 {
		for i, token := range all {
			got, err := v.Verify(ctx, token)
			if err != nil {
				return err
			}
			again, err := v.Verify(ctx, token)
			if err != nil {
				return err
			}
			if again != got {
				return errors.New("a token that came twice in a row was verified twice")
			}
			if round == 1 && first[i] == got {
				return errors.New("a token was remembered that should have been forgotten")
			}
			first[i] = got
		}
	}
	return nil
}

// plainVerify is the least that the standard library has to do.
func plainVerify(key ed25519.PublicKey, token string) error {
	dot := strings.LastIndexByte(token, '.')
	header, claims, ok := strings.Cut(token[:max(dot, 0)], ".")
	if !ok {
		return errors.New("no token")
	}
	var parts [3][]byte
	for i, text := range []string{header, claims, token[dot+1:]} {
		var err error
		if parts[i], err = base64.RawURLEncoding.DecodeString(text); err != nil {
			return err
		}
	}
	var head struct{ Alg, Typ, Kid string }
	var body struct {
		Iss, Sub, Aud, Jti, Scope string
		Exp, Iat, Nbf             int64
	}
	if err := errors.Join(json.Unmarshal(parts[0], &head), json.Unmarshal(parts[1], &body)); err != nil {
		return err
	}
	if !ed25519.Verify(key, []byte(token[:dot]), parts[2]) {
		return errors.New("bad signature")
	}
	return nil
}
