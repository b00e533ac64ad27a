package jwks_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The environment is read once in a process: before any test has made a connection it names a proxy that nobody listens on.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
