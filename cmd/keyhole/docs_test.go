package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

// documents are those whose examples are run: blocks of sh in order, in one shell, and blocks of yaml as configurations.
var documents = []string{"../../README.md", "../../docs/configuration.md"}

var fence = regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)\n```$")

func TestExamplesInDocuments(t *testing.T) {
	for _, file := range documents {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := string(read(t, file))
			blocks := fence.FindAllStringSubmatch(text, -1)
			if len(blocks) == 0 {
				t.Fatal("no examples")
			}
			var script strings.Builder
			for i, b := range blocks {
				if b[1] == "yaml" {
					parseExample(t, fmt.Sprintf("block %d", i+1), b[2])
					continue
				}
				script.WriteString(b[2] + "\n")
			}
			runExample(t, script.String())
		})
	}
}

func parseExample(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), devdir.ConfigFile)
	replace(t, file, []byte(text))
	c, err := full.Drivers().Load(file, nil)
	if err == nil {
		err = full.Drivers().Unsupported(c)
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// runExample runs the script where its user would, but on a free port.
func runExample(t *testing.T, script string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n" + strings.ReplaceAll(script, "127.0.0.1:8640", addr)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"),
		"KEYHOLE__LISTEN__NATIVE="+addr, "KEYHOLE__LISTEN__ADMIN=127.0.0.1:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
