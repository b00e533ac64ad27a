// Package strictjson parses JSON (RFC 8259) the way a security boundary needs it: UTF-8 only, no duplicate names, no two
// names equal under case folding, bounded size, depth and node count, nothing after the document, and a position for
// every node so that errors can say where. Every JSON surface uses it: token headers and claims, request bodies, key
// sets, policy manifests, configuration.
package strictjson

// Kind is the type of a Node.
type Kind uint8

// The kinds of JSON (and of configuration) nodes.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String names the kind for error messages.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// Node is one value of a parsed document. Other front ends (YAML) build the same tree.
type Node struct {
	Kind      Kind
	Bool      bool
	Text      []byte   // String: decoded bytes, owned by the node. Number: the literal as written
	Elems     []Node   // Array
	Members   []Member // Object, in document order
	Line, Col int      // 1-based; Col counts bytes
}

// Member is one name and value of an object.
type Member struct {
	Name      string
	Line, Col int // of the name
	Value     Node
}

// Get returns the member with exactly this name, or nil.
func (n *Node) Get(name string) *Node {
	for i := range n.Members {
		if n.Members[i].Name == name {
			return &n.Members[i].Value
		}
	}
	return nil
}
