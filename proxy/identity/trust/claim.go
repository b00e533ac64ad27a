package trust

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// claim is a place in a payload: the name of a claim, or the names that lead to one inside objects.
type claim struct {
	text  string // as it was written
	steps []string
}

// maxClaimBytes is the most that a claim's name or a value of interest may hold.
const maxClaimBytes = 512

// parseClaim reads a name, or a JSON pointer (RFC 6901) where the text starts with "/": "~1" there is "/", "~0" is "~".
// The steps of a pointer are names of members: no element of a list is ever one identity's for good.
func parseClaim(text string) (claim, string) {
	if text == "" || len(text) > maxClaimBytes || !plain(text) {
		return claim{}, "want the name of a claim, or a JSON pointer such as /kubernetes.io/serviceaccount/uid for one inside an object"
	}
	if text[0] != '/' {
		return claim{text, []string{text}}, ""
	}
	steps := strings.Split(text[1:], "/")
	for i, s := range steps {
		if s == "" {
			return claim{}, `a JSON pointer with an empty name; a "/" inside a name is written ~1, as in /https:~1~1sts.amazonaws.com~1/aws_account`
		}
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(s)
		if strings.Contains(rest, "~") {
			return claim{}, `in a JSON pointer "~" is written ~0`
		}
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return claim{text, steps}, ""
}

// find gives the node of the claim, nil where the payload has none.
func (c *claim) find(n *strictjson.Node) *strictjson.Node {
	for _, s := range c.steps {
		if n == nil {
			return nil
		}
		n = n.Get(s)
	}
	return n
}

// under reports whether c is the claim p or inside it.
func (c *claim) under(p string) bool { return c.text == p || strings.HasPrefix(c.text, p+"/") }

// textOf is the one text that stands for a claim's value: a string as it is, a boolean and a whole number as JSON writes
// them. Anything else has none, and a string that is empty, too long or holds control characters has none either.
func textOf(n *strictjson.Node) (string, bool) {
	switch {
	case n == nil:
		return "", false
	case n.Kind == strictjson.String:
		s, _ := n.Str()
		return s, s != "" && len(s) <= maxClaimBytes && plain(s)
	case n.Kind == strictjson.Bool:
		return strconv.FormatBool(n.Bool), true
	case n.Kind == strictjson.Number:
		i, ok := n.Int64()
		return strconv.FormatInt(i, 10), ok
	}
	return "", false
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// excerpt quotes the beginning of a value for a person to read.
func excerpt(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
