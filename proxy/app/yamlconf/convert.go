package yamlconf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

const noAliases = `anchors and aliases (& and *) are not allowed; put a text that starts so in quotes`

// converter turns the YAML parser's tree into the strict one.
type converter struct {
	lines [][]byte
	nodes int
	key   []string // of the node at hand, as in mounts [0] .path
	errs  config.Errors
}

func (c *converter) fail(line, col int, msg string) {
	// A document that is all wrong in one way needs no list of every place.
	if len(c.errs) < 20 {
		c.errs = append(c.errs, &config.Error{Line: line, Col: col, Key: strings.TrimPrefix(strings.Join(c.key, ""), "."), Msg: msg})
	}
}

// place turns the parser's column, which counts characters, into bytes.
func (c *converter) place(y *yaml.Node) (line, col int) {
	if y.Line < 1 || y.Line > len(c.lines) {
		return y.Line, y.Column
	}
	rest := c.lines[y.Line-1]
	col = 1
	for range y.Column - 1 {
		if len(rest) == 0 {
			break
		}
		_, size := utf8.DecodeRune(rest)
		rest, col = rest[size:], col+size
	}
	return y.Line, col
}

// at is the character at which a node starts in the text, 0 behind the end of a line.
func (c *converter) at(line, col int) byte {
	if line < 1 || line > len(c.lines) || col < 1 || col > len(c.lines[line-1]) {
		return 0
	}
	return c.lines[line-1][col-1]
}

func (c *converter) node(y *yaml.Node, depth int) strictjson.Node {
	line, col := c.place(y)
	n := strictjson.Node{Line: line, Col: col}
	if c.nodes++; c.nodes > config.MaxNodes {
		if c.nodes == config.MaxNodes+1 {
			c.fail(line, col, fmt.Sprintf("more than %d values", config.MaxNodes))
		}
		return n
	}
	// The tree does not tell the tag "!" from none; the text does.
	switch first := c.at(line, col); {
	case y.Kind == yaml.AliasNode || y.Anchor != "" || first == '&' || first == '*':
		c.fail(line, col, noAliases)
		return n
	case y.Style&yaml.TaggedStyle != 0 || first == '!':
		c.fail(line, col, "tags (!) are not allowed; put a text that starts so in quotes")
		return n
	case (y.Kind == yaml.MappingNode || y.Kind == yaml.SequenceNode) && depth >= config.MaxDepth:
		c.fail(line, col, fmt.Sprintf("nested deeper than %d levels", config.MaxDepth))
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind = strictjson.Object
		c.mapping(y, &n, depth+1)
	case yaml.SequenceNode:
		n.Kind = strictjson.Array
		for i, e := range y.Content {
			c.key = append(c.key, "["+strconv.Itoa(i)+"]")
			n.Elems = append(n.Elems, c.node(e, depth+1))
			c.key = c.key[:len(c.key)-1]
		}
	default:
		scalar(y, &n)
		if !utf8.Valid(n.Text) {
			c.fail(line, col, "not UTF-8")
		}
	}
	return n
}

func (c *converter) mapping(y *yaml.Node, n *strictjson.Node, depth int) {
	seen := make(map[string]string, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, line, col := y.Content[i], 0, 0
		name := c.node(key, depth)
		line, col = name.Line, name.Col
		switch {
		case key.Kind == yaml.ScalarNode && key.Tag == "!!merge":
			c.fail(line, col, "merge keys (<<) are not allowed")
			continue
		case name.Kind != strictjson.String:
			c.fail(line, col, "a key must be a text; put it in quotes")
			continue
		}
		m := strictjson.Member{Name: string(name.Text), Line: line, Col: col}
		c.key = append(c.key, "."+shorten(m.Name))
		folded := strings.Map(foldRune, m.Name)
		switch first, dup := seen[folded]; {
		case dup && first == m.Name:
			c.fail(line, col, "this key is there already")
		case dup:
			c.fail(line, col, "this key differs from an earlier one in case alone")
		}
		seen[folded] = m.Name
		m.Value = c.node(y.Content[i+1], depth)
		n.Members = append(n.Members, m)
		c.key = c.key[:len(c.key)-1]
	}
}

// shorten keeps what an error names readable on one line.
func shorten(name string) string {
	if q := strconv.Quote(name); len(name) > 60 || q != `"`+name+`"` {
		return `"…"`
	}
	return name
}

// foldRune maps each rune to one of its case orbit, so that texts are equal where strings.EqualFold says so.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// scalar takes a quoted or block scalar for text, and a plain one for what JSON would take it for.
func scalar(y *yaml.Node, n *strictjson.Node) {
	plain := y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch {
	case plain && (y.Value == "" || y.Value == "~" || y.Value == "null"):
		n.Kind = strictjson.Null
	case plain && (y.Value == "true" || y.Value == "false"):
		n.Kind, n.Bool = strictjson.Bool, y.Value == "true"
	case plain && jsonNumber.MatchString(y.Value):
		n.Kind, n.Text = strictjson.Number, []byte(y.Value)
	default:
		n.Kind, n.Text = strictjson.String, []byte(y.Value)
	}
}
