package parameterstore_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/parameterstore"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const roleARN = "arn:aws:iam::" + awsemu.Account + ":role/reader"

var user = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: awsemu.AccessKey, SecretAccessKey: awsemu.SecretKey}, nil
})

// open returns an upstream that assumes a role, and the emulator behind it.
func open(t *testing.T) (*parameterstore.Store, *awsemu.Server) {
	t.Helper()
	emu, url := awsemu.Start(t)
	emu.AddRole(awsemu.Role{ARN: roleARN, ExternalID: "suite"})
	m, err := parameterstore.New(parameterstore.Config{
		Region: awsemu.Region, Endpoint: url, STSEndpoint: url, Credentials: user,
		Roles: []awsjson.Role{{ARN: roleARN, ExternalID: "suite"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, emu
}

// put stores a parameter by the name that it has here.
func put(emu *awsemu.Server, name, value string) secret.Version {
	if strings.Contains(name, "/") {
		name = "/" + name
	}
	return secret.Version(strconv.Itoa(emu.PutParameter(awsemu.Region, name, "SecureString", value)))
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
			return put(now(), name, string(s.Value.Reveal()))
		},
		Fault:  func(t *testing.T, f upstreamtest.Fault) { now().Fault(t, f) },
		Values: true, KeepsVersions: true, Lists: true, Histories: true, MaxBytes: 8 << 10,
	})
	t.Run("Models", func(t *testing.T) { awsemu.CheckModels(t, servers...) })
}
