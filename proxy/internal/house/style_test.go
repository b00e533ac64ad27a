package house_test

import (
	"bytes"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines is the most that one file of the product may hold; half of that is usual.
const maxLines = 500

func TestFilesAreShort(t *testing.T) {
	for _, s := range products(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: is it one concept?", s.name, n, maxLines)
		}
	}
}

// What runs before main costs every cold start and can be neither configured nor tested.
func TestNoInit(t *testing.T) {
	for _, s := range products(t) {
		for _, decl := range s.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s:%d: func init", s.name, s.line(fn.Pos()))
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	docs := make(map[string]int)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		docs[s.pkg] += 0
		if s.ast.Doc == nil {
			continue
		}
		docs[s.pkg]++
		want := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			want = path.Base(s.pkg) + " "
		}
		if doc := strings.TrimPrefix(s.ast.Doc.Text(), "Command "); len(doc) < len(want) || !strings.EqualFold(doc[:len(want)], want) {
			t.Errorf("%s: the package comment does not start with %q", s.name, want)
		}
	}
	for pkg, n := range docs {
		if n != 1 {
			t.Errorf("package %s has %d package comments, want one", pkg, n)
		}
	}
}

// reveals are the files where secret values leave their wrapper. Each is read with care; the list grows by review.
var reveals = map[string]string{
	"proxy/audit/mac.go":                 "keyed digest of a value, for the record",
	"proxy/fields.go":                    "reads the JSON object of fields that a value is",
	"proxy/httpapi/encode.go":            "writes the answer, after the record was acknowledged",
	"proxy/secret/secret.go":             "checks that fields are UTF-8",
	"proxy/secret/value.go":              "compares, clones and wipes",
	"proxy/upstream/embedded/payload.go": "seals it",
	"proxy/upstream/keyhole/session.go":  "our own token, into the header of a request",
	"proxy/upstream/vault/kv1.go":        "keyed fingerprint of a secret that has no version",
	"proxy/upstream/vault/session.go":    "our own token, into the header of a request",
	"proxy/upstream/vault/write.go":      "into the body of a write, which is wiped",
}

func TestRevealStandsWhereReviewed(t *testing.T) {
	found := make(map[string]bool)
	for _, s := range products(t) {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Reveal" {
				return true
			}
			found[s.name] = true
			if reveals[s.name] == "" {
				t.Errorf("%s:%d reveals a secret value: have it reviewed, then add the file and the reason to reveals", s.name, s.line(sel.Pos()))
			}
			return true
		})
	}
	for name := range reveals {
		if !found[name] {
			t.Errorf("%s reveals nothing any more: take it off the list", name)
		}
	}
}

// Places on one machine mean nothing on another. The words are broken up here so that this file holds none of them.
var places = []string{"/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "/bash" + "_jobs", ".lib" + "rary/", "../sha" + "red"}

func TestNoPlacesOfOneMachine(t *testing.T) {
	n := 0
	err := walk(func(name string, d fs.DirEntry) error {
		if !d.Type().IsRegular() || strings.HasPrefix(name, ".ci/") {
			return nil // continuous integration looks for the vectors beside the repository
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		n++
		for _, place := range places {
			if i := bytes.Index(text, []byte(place)); i >= 0 {
				t.Errorf("%s:%d: %q is a place of one machine", name, 1+bytes.Count(text[:i], []byte("\n")), place)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Fatalf("only %d files read", n)
	}
}
