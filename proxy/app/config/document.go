package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Bounds of a document. The form in JSON may be longer than the same document in YAML, and so may its bounds.
const (
	MaxYAMLBytes = 4 << 20
	MaxJSONBytes = 32 << 20
	MaxDepth     = 64
	MaxNodes     = 2_000_000
)

// Document is a configuration before it is decoded: the tree of a file, and what the environment has put over it. It is
// not safe for concurrent use.
type Document struct {
	file    string
	root    *strictjson.Node
	origins map[string]string // key -> the environment variable that set it
	port    bool              // PORT chose listen.native
}

// NewDocument takes the tree of the file called name, which errors name and whose folder relative paths start from. The
// Document owns root: ApplyEnv changes it.
func NewDocument(name string, root *strictjson.Node) *Document {
	return &Document{file: name, root: root, origins: map[string]string{}}
}

// ReadJSON parses a document in JSON. Every error is an Errors.
func ReadJSON(name string, data []byte) (*Document, error) {
	root, err := strictjson.Parse(data, strictjson.Limits{Bytes: MaxJSONBytes, Depth: MaxDepth, Nodes: MaxNodes})
	if err != nil {
		e := &Error{File: name, Msg: err.Error()}
		var syntax *strictjson.SyntaxError
		if errors.As(err, &syntax) {
			e.Line, e.Col, e.Msg = syntax.Line, syntax.Col, syntax.Msg
		}
		return nil, Errors{e}
	}
	return NewDocument(name, root), nil
}

// Decode checks the whole document. Every error is an Errors with all problems found.
func (d *Document) Decode() (*Config, error) {
	dec := &decoder{doc: d, schemas: schemas{}}
	c := &Config{Dir: filepath.Dir(d.file)}
	c.Listen.FromPort = d.port
	dec.document(c)
	if d.root.Kind == strictjson.Object && len(dec.errs) <= maxErrors {
		(&checker{decoder: dec, c: c, wrong: dec.errs}).check()
	}
	if err := orNil(dec.errs); err != nil {
		return nil, err
	}
	return c, nil
}

// Origin says where the value of a key came from: the environment variable, FILE:LINE:COL, or "default". key is written
// as in Error.Key.
func (d *Document) Origin(key string) string {
	if v, ok := d.origins[key]; ok {
		return v
	}
	if n := find(d.root, key, nil); n != nil {
		return fmt.Sprintf("%s:%d:%d", d.file, n.Line, n.Col)
	}
	return "default"
}

// find searches the tree for the node whose key is written so.
func find(n *strictjson.Node, key string, at *path) *strictjson.Node {
	here := at.String()
	if here == key {
		return n
	}
	if !strings.HasPrefix(key, here) { // the keys below begin with that of their parent
		return nil
	}
	for i := range n.Elems {
		if got := find(&n.Elems[i], key, at.at(i)); got != nil {
			return got
		}
	}
	for i := range n.Members {
		if got := find(&n.Members[i].Value, key, at.key(n.Members[i].Name)); got != nil {
			return got
		}
	}
	return nil
}
