package strictjson

import "strconv"

// Str returns the decoded text of a String. It is a copy that cannot be wiped: for secrets take Text itself.
func (n *Node) Str() (string, bool) {
	if n == nil || n.Kind != String {
		return "", false
	}
	return string(n.Text), true
}

// Int64 returns the value of a Number that is written as an integer: no fraction, no exponent, no minus zero, within
// the range of int64.
func (n *Node) Int64() (int64, bool) {
	if n == nil || n.Kind != Number || len(n.Text) > len("-9223372036854775808") || string(n.Text) == "-0" {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n.Text), 10, 64)
	return i, err == nil
}

// Wipe overwrites the text of n and of everything below it with zeros. Names of members are not wiped.
func (n *Node) Wipe() {
	clear(n.Text)
	for i := range n.Elems {
		n.Elems[i].Wipe()
	}
	for i := range n.Members {
		n.Members[i].Value.Wipe()
	}
}
