package trust

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/errorlist"
)

// Error is one thing that is wrong with a rule.
type Error struct {
	Index int    // the rule's place in the list
	Rule  string // its name
	Key   []any  // where in the rule: names (string) and places in lists (int), as in "require", "sub", 0
	Msg   string // what is wrong, why, and what to do
}

// Error is one line: the rule, the key, and what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trust rule %q: ", e.Rule)
	for i, k := range e.Key {
		switch k := k.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(k) + "]")
		case string:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(k)
		}
	}
	if len(e.Key) > 0 {
		b.WriteString(": ")
	}
	return b.String() + e.Msg
}

// Errors is everything that is wrong with a list of rules: they must be corrected.
type Errors = errorlist.List[*Error]

// key builds the place of an Error.
func key(steps ...any) []any { return steps }
