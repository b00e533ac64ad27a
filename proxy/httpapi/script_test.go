package httpapi_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScripts(t *testing.T) {
	proxytest.RunScripts(t, "testdata/*.txt", func(t *testing.T) proxytest.Target {
		return proxytest.NewServer(t, proxytest.Options{}).Target()
	})
}

func TestAWSScripts(t *testing.T) {
	proxytest.RunScripts(t, "testdata/aws/*.txt", func(t *testing.T) proxytest.Target {
		return proxytest.NewServer(t, proxytest.Options{}).AWSTarget()
	})
}
