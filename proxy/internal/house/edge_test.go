package house_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// edgeModules is all that a function may link beside this module and the standard library. Size and start of a function
// are the product: what only a server needs (the database, the YAML parser, the command line) stays out.
var edgeModules = []string{
	"github.com/aws/aws-sdk-go-v2", // signer and credential interfaces
	"github.com/aws/smithy-go",     // which those import
	"github.com/golang-jwt/jwt/v5",
	"github.com/hashicorp/golang-lru/v2",
	"github.com/tetratelabs/wazero",
	"golang.org/x/sys", // wazero asks it for the features of the processor
}

// functionModules are what the function links beside those.
var functionModules = []string{"github.com/aws/aws-lambda-go"}

func TestEdgeLinksFewModules(t *testing.T) { linksOnly(t, "./proxy/app/edge", edgeModules) }

func TestFunctionLinksFewModules(t *testing.T) {
	linksOnly(t, "./functions/lambda", join(edgeModules, functionModules))
}

func TestExtensionLinksFewModules(t *testing.T) { linksOnly(t, "./functions/extension", edgeModules) }

// heavy are packages of the standard library that a function has done without so far: each is large, or does something
// before main, in every start.
var heavy = []string{
	"regexp", "text/template", "html/template", "encoding/gob", "database/sql", "database/sql/driver", "expvar", "go/ast", "flag", "testing",
	"net/http/pprof", "net/http/httptest", "os/exec", "archive/zip",
}

func TestFunctionsLinkNothingHeavy(t *testing.T) {
	for _, pkg := range []string{"./functions/lambda", "./functions/extension"} {
		for _, dep := range listed(t, pkg, "{{.ImportPath}}") {
			if slices.Contains(heavy, dep) {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}

// linksOnly wants a package to link these modules, each of them, and no other.
func linksOnly(t *testing.T, pkg string, want []string) {
	t.Helper()
	linked := listed(t, pkg, "{{with .Module}}{{.Path}}{{end}}")
	if !slices.Contains(linked, module) {
		t.Fatalf("go list names %q, not even this module", linked)
	}
	for _, mod := range linked {
		if mod != module && !slices.Contains(want, mod) {
			t.Errorf("%s links %s", pkg, mod)
		}
	}
	for _, mod := range want {
		if !slices.Contains(linked, mod) {
			t.Errorf("%s links %s no more: take it off the list", pkg, mod)
		}
	}
}

// listed is what go list says of all that pkg links for Lambda.
func listed(t *testing.T, pkg, format string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "lambda.norpc,nethttpomithttp2", "-deps", "-f", format, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	return slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out)))))
}
