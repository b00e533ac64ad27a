// Package yamlconf reads the configuration document in YAML into the tree that package config decodes.
//
// Laws. Only the part of YAML that says one thing to every reader is taken: one document in UTF-8, mappings with text
// keys, sequences and scalars; no anchors, aliases, merge keys, tags or directives, no name twice, nor two that differ
// in case alone. A plain scalar is a boolean only as true or false, a number only as JSON writes numbers, and null as
// nothing, null or ~; all else is text (yes, on, 017, 0x1f, 1_000, 1:30, 2026-01-01), which is refused where a boolean or
// number is wanted. What Parse accepts renders to JSON that means the same. Errors quote no value.
package yamlconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// Read parses the document of the file called name. Every error is a config.Errors.
func Read(name string, data []byte) (*config.Document, error) {
	root, err := Parse(data)
	if err != nil {
		var errs config.Errors
		if errors.As(err, &errs) {
			for _, e := range errs {
				e.File = name
			}
		}
		return nil, err
	}
	return config.NewDocument(name, root), nil
}

// Parse parses one YAML document of at most config.MaxYAMLBytes. Every error is a config.Errors without a file's name,
// with all problems found.
func Parse(data []byte) (*strictjson.Node, error) {
	if err := checkText(data); err != nil {
		return nil, config.Errors{err}
	}
	doc, err := decode(data)
	if err != nil {
		return nil, config.Errors{syntaxError(data, err)}
	}
	c := &converter{lines: bytes.Split(data, []byte("\n"))}
	root := c.node(doc.Content[0], 0)
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return &root, nil
}

// decode runs the YAML parser over exactly one document. The parser panics where its own events surprise it; no input is
// known to get there, and none shall end the program.
func decode(data []byte) (doc *yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			doc, err = nil, errors.New("this is not YAML")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc = new(yaml.Node)
	if err := dec.Decode(doc); errors.Is(err, io.EOF) {
		return nil, errors.New("the document is empty")
	} else if err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("the document is empty")
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		return nil, &config.Error{Line: max(next.Line, 1), Msg: "a second document; only one is taken"}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc, nil
}

// checkText refuses text that readers split into lines or characters differently.
func checkText(data []byte) *config.Error {
	switch {
	case len(data) > config.MaxYAMLBytes:
		return &config.Error{Msg: fmt.Sprintf("%d bytes, at most %d are allowed", len(data), config.MaxYAMLBytes)}
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return &config.Error{Line: 1, Col: 1, Msg: "a byte order mark is not allowed; save the file as UTF-8 without one"}
	}
	line, start := 1, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		bad := ""
		switch {
		case r == '\n':
			line, start = line+1, i+1
		case r == '\r' && !bytes.HasPrefix(data[i:], []byte("\r\n")):
			bad = "a carriage return without a line feed"
		case r == utf8.RuneError && size == 1:
			bad = "not UTF-8"
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f, r == 0x85, r == '\u2028', r == '\u2029', r == '\ufeff':
			bad = fmt.Sprintf("the character %U is not allowed", r)
		case r == '%' && i == start:
			bad = "directives are not allowed"
		}
		if bad != "" {
			return &config.Error{Line: line, Col: i - start + 1, Msg: bad}
		}
		i += size
	}
	return nil
}

var parserError = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)

// grammar are the messages of the parser itself; the others are its scanner's.
var grammar = regexp.MustCompile(`^did not find expected (key|node content|',' or|'-' indicator|<)`)

// syntaxError gives the parser's message a place. The parser quotes a text in one message only, and that is replaced.
func syntaxError(data []byte, err error) *config.Error {
	var e *config.Error
	if errors.As(err, &e) {
		return e
	}
	e = &config.Error{Msg: err.Error()}
	m := parserError.FindStringSubmatch(err.Error())
	if m == nil {
		return e
	}
	e.Msg = m[2]
	e.Line, _ = strconv.Atoi(m[1])
	if m[1] == "" || grammar.MatchString(e.Msg) { // the parser counts these from 0, and leaves that out
		e.Line = min(e.Line+1, bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n"))+1)
	}
	if name, ok := strings.CutPrefix(e.Msg, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		e.Msg = noAliases
		if i := bytes.Index(data, []byte("*"+name)); i >= 0 {
			e.Line, e.Col = bytes.Count(data[:i], []byte("\n"))+1, i-bytes.LastIndexByte(data[:i], '\n')
		}
	}
	return e
}
