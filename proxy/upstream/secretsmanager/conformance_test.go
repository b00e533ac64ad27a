package secretsmanager_test

import (
	"context"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const roleARN = "arn:aws:iam::" + awsemu.Account + ":role/reader"

var user = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: awsemu.AccessKey, SecretAccessKey: awsemu.SecretKey}, nil
})

// open returns an upstream that assumes a role, and the emulator behind it.
func open(t *testing.T) (*secretsmanager.Manager, *awsemu.Server) {
	t.Helper()
	emu, url := awsemu.Start(t)
	emu.AddRole(awsemu.Role{ARN: roleARN, ExternalID: "suite"})
	m, err := secretsmanager.New(secretsmanager.Config{
		Region: awsemu.Region, Endpoint: url, STSEndpoint: url, Credentials: user,
		Roles: []awsjson.Role{{ARN: roleARN, ExternalID: "suite"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, emu
}

func put(emu *awsemu.Server, name string, value []byte) secret.Version {
	if text := string(value); utf8.ValidString(text) {
		return secret.Version(emu.PutSecret(awsemu.Region, name, &text, nil))
	}
	return secret.Version(emu.PutSecret(awsemu.Region, name, nil, value))
}

func TestConformance(t *testing.T) {
	var servers []*awsemu.Server
	now := func() *awsemu.Server { return servers[len(servers)-1] }
	upstreamtest.Run(t, upstreamtest.Harness{
		Open: func(t *testing.T) secret.Upstream {
			m, emu := open(t)
			servers = append(servers, emu)
			return m
		},
		Put: func(_ *testing.T, name string, s *secret.Secret) secret.Version {
			return put(now(), name, append([]byte(nil), s.Value.Reveal()...))
		},
		Fault:  func(t *testing.T, f upstreamtest.Fault) { now().Fault(t, f) },
		Values: true, Binary: true, KeepsVersions: true, Lists: true, Histories: true, MaxBytes: 64 << 10,
	})
	t.Run("Models", func(t *testing.T) { awsemu.CheckModels(t, servers...) })
}
