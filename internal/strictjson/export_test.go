package strictjson

// ParseOrWipe is Parse into a tree that the caller keeps when it fails.
func ParseOrWipe(root *Node, data []byte) error { return parseOrWipe(root, data, Limits{}) }
