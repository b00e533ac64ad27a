package parameterstore_test

import (
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/parameterstore"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) awsemu.Driven[*parameterstore.Store] {
	return awsemu.Open(t, parameterstore.New)
}

// put stores a parameter by the name that it has here.
func put(emu *awsemu.Server, name string, value []byte) secret.Version {
	if strings.Contains(name, "/") {
		name = "/" + name
	}
	return secret.Version(strconv.Itoa(emu.PutParameter(awsemu.Region, name, "SecureString", string(value))))
}

func TestConformance(t *testing.T) {
	awsemu.Conform(t, upstreamtest.Harness{
		Values: true, KeepsVersions: true, Lists: true, Histories: true, MaxBytes: 8 << 10,
	}, parameterstore.New, put)
}
