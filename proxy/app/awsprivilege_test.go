package app_test

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/parameterstore"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
)

// use does all that an upstream can do, and returns what went wrong, by what was to be done.
func use(t *testing.T, emu *awsemu.Server, u secret.Upstream, names ...string) map[string]error {
	t.Helper()
	failed := map[string]error{}
	note := func(what string, err error) {
		if err != nil {
			failed[what] = err
		}
	}
	ctx := context.Background()
	_, err := u.Read(ctx, names[0], secret.Current)
	note("read", err)
	_, err = u.Read(ctx, names[0], secret.Previous)
	note("previous", err)
	_, err = u.(secret.Versioner).Versions(ctx, names[0])
	note("versions", err)
	_, err = u.(secret.Lister).List(ctx, "apps/web", "", 10)
	note("list", err)
	type reader = awsemu.Driven[secret.Upstream]
	reader{Server: emu, Upstream: u}.Herd(t, slices.Repeat(names, 20), func(string, *secret.Secret, error) {})
	return failed
}

// Each policy of the page names the actions that its upstream calls, and no other; with all of them everything works.
func TestLeastPrivilegeOfAWS(t *testing.T) {
	page, err := os.ReadFile("../../docs/upstreams.md")
	if err != nil {
		t.Fatal(err)
	}
	for role, tt := range map[string]struct {
		open  func(awsjson.Config) (secret.Upstream, error)
		names []string
	}{
		"web-secrets":    {func(c awsjson.Config) (secret.Upstream, error) { return secretsmanager.New(c) }, []string{"apps/web/db", "apps/web/db2"}},
		"web-parameters": {func(c awsjson.Config) (secret.Upstream, error) { return parameterstore.New(c) }, []string{"apps/web/url", "apps/web/url2"}},
	} {
		t.Run(role, func(t *testing.T) {
			emu, url, policies := awsemu.StartAs(t, string(page))
			u, err := tt.open(awsjson.Config{
				Region: awsemu.Region, Endpoint: url, STSEndpoint: url, Credentials: awsemu.User(),
				Roles: []awsjson.Role{{ARN: awsemu.DocumentedRoles + role, ExternalID: "keyhole-web"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = u.Close() }()
			if failed := use(t, emu, u, tt.names...); len(failed) > 0 {
				t.Errorf("with all of it: %v", failed)
			}
			called := map[string]bool{}
			for _, c := range emu.Calls() {
				if c.Principal == awsemu.DocumentedRoles+role {
					called[c.Action] = true
				}
			}
			for _, s := range policies[role] {
				for _, action := range s.Action {
					if !called[action] {
						t.Errorf("%s is allowed and never called", action)
					}
					delete(called, action)
				}
			}
			if len(called) > 0 {
				t.Errorf("called and not in the policy: %v", called)
			}
			emu.Attach(awsemu.DocumentedRoles+role, without(policies[role], "kms:Decrypt")...)
			if failed := use(t, emu, u, tt.names...); failed["read"] == nil || failed["previous"] == nil || failed["list"] != nil {
				t.Errorf("without the key: %v", failed)
			}
		})
	}
}

func without(policy []awsemu.Statement, action string) []awsemu.Statement {
	return slices.DeleteFunc(slices.Clone(policy), func(s awsemu.Statement) bool { return slices.Contains(s.Action, action) })
}
