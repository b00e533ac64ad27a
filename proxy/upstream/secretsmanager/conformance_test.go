package secretsmanager_test

import (
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) awsemu.Driven[*secretsmanager.Manager] {
	return awsemu.Open(t, withoutARNs)
}

func withoutARNs(c secretsmanager.Config) (*secretsmanager.Manager, error) {
	return secretsmanager.New(c)
}

func put(emu *awsemu.Server, name string, value []byte) secret.Version {
	if text := string(value); utf8.ValidString(text) {
		return secret.Version(emu.PutSecret(awsemu.Region, name, &text, nil))
	}
	return secret.Version(emu.PutSecret(awsemu.Region, name, nil, value))
}

func TestConformance(t *testing.T) {
	awsemu.Conform(t, upstreamtest.Harness{
		Values: true, Binary: true, KeepsVersions: true, Lists: true, Histories: true, MaxBytes: 64 << 10,
	}, withoutARNs, put)
}
