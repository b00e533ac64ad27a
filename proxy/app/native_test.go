package app_test

import (
	"bytes"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Machine code that comes with the drivers is loaded, and nothing is compiled.
func TestNativeOfTheDrivers(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("policies are interpreted here")
	}
	var log bytes.Buffer
	proxytest.NewServer(t, proxytest.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if want := "engine=compiler precompiled=2 compiled=0"; strings.Count(log.String(), want) != 1 {
		t.Errorf("the log does not say %q once:\n%s", want, log.String())
	}
}
