package main_test

import (
	"path/filepath"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
)

// Connecting is tried against the emulator, with the policies of the page.
func TestExamplesWithAWS(t *testing.T) {
	_, part, _ := cut(t, upstreamsPage(t), aboutAWS)
	_, url, _ := awsemu.StartAs(t, part)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY": awsemu.SecretKey, "AWS_ENDPOINT_URL": url,
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
	} {
		t.Setenv(name, value)
	}
	runBlocks(t, part)
}
