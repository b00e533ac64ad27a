package awsemu

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

//go:embed oracle.py
var oracle string

// Python is a Python that has botocore, AWS's client for it. t is skipped where there is none.
func Python(t testing.TB) string {
	t.Helper()
	for _, python := range []string{os.Getenv("KEYHOLE_PYTHON"), "/usr/bin/python3", "python3"} {
		if python != "" && exec.CommandContext(t.Context(), python, "-c", "import botocore").Run() == nil {
			return python
		}
	}
	t.Skip("there is no Python with botocore here; make deps installs it")
	return ""
}

// CheckModels holds all exchanges of the servers against the models of the services that come with botocore.
func CheckModels(t testing.TB, servers ...*Server) {
	t.Helper()
	python := Python(t)
	var in bytes.Buffer
	for _, s := range servers {
		for _, x := range s.Exchanges() {
			if err := json.NewEncoder(&in).Encode(x); err != nil {
				t.Fatal(err)
			}
		}
	}
	if in.Len() == 0 {
		t.Fatal("there is nothing to check")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", oracle)
	cmd.Stdin = &in
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("botocore: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	checked := ""
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		switch word, rest, _ := strings.Cut(line, " "); {
		case word == "CHECKED":
			checked = rest
		case word == "SKIP":
			if !seen[rest] {
				t.Logf("botocore here is too old to know %s", rest)
			}
			seen[rest] = true
		case !seen[line]:
			seen[line] = true
			t.Errorf("botocore: %s", line)
		}
	}
	if checked == "" || checked == "0" {
		t.Errorf("botocore checked %q exchanges", checked)
	}
}
