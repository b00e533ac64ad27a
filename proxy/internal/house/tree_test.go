package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/keyhole-edge/keyhole"

const root = "../../.."

// source is one Go file of the module.
type source struct {
	name string // slash-separated, relative to the root
	pkg  string // its directory: "" for the root
	test bool
	text []byte
	fset *token.FileSet
	ast  *ast.File
}

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// imports lists what s imports, packages of this module as their directories.
func (s *source) imports() (own, other []string) {
	for _, spec := range s.ast.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if dir, ok := strings.CutPrefix(p, module+"/"); ok {
			own = append(own, dir)
		} else {
			other = append(other, p)
		}
	}
	return own, other
}

// tree reads every Go file of the module, whatever system it is built for.
var tree = sync.OnceValues(func() ([]*source, error) {
	var out []*source
	err := walk(func(name string, _ fs.DirEntry) error {
		if path.Ext(name) != ".go" || strings.HasPrefix(name, "tools/") {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		s := &source{name: name, test: strings.HasSuffix(name, "_test.go"), text: text, fset: token.NewFileSet()}
		if s.pkg = path.Dir(name); s.pkg == "." {
			s.pkg = ""
		}
		s.ast, err = parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		out = append(out, s)
		return err
	})
	return out, err
})

// walk calls fn for every file of the repository, leaving out what git ignores and what npm installs.
func walk(fn func(name string, d fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", ".keyhole", "node_modules", ".terraform":
				return fs.SkipDir
			}
			if rel == "bin" || rel == "bench/results" {
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(rel); ext == ".test" || ext == ".prof" {
			return nil
		}
		return fn(rel, d)
	})
}

func sources(t *testing.T) []*source {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("%d Go files below %s: this is not the module", len(all), root)
	}
	return all
}

// products are the files that ship: no tests, no packages that only tests and benchmarks use.
func products(t *testing.T) []*source {
	t.Helper()
	var out []*source
	for _, s := range sources(t) {
		if !s.test && !forTests(s.pkg) {
			out = append(out, s)
		}
	}
	return out
}

// forTests tells the packages that only tests and benchmarks import.
func forTests(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || within(pkg, "proxy/proxytest") || within(pkg, "bench")
}

// within reports whether pkg is dir or below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }
