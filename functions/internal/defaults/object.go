package defaults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

// object holds texts, whole numbers, booleans, objects and lists of objects.
type object map[string]any

// appendJSON writes them, members in the order of their names. What encoding/json finds out about types when it first meets
// them takes a start longer than reading the document.
func appendJSON(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return jsontext.AppendString(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case bool:
		return strconv.AppendBool(b, v)
	case object:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(append(jsontext.AppendString(b, name), ':'), v[name])
		}
		return append(b, '}')
	case []object:
		b = append(b, '[')
		for i := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, v[i])
		}
		return append(b, ']')
	}
	panic(fmt.Sprintf("no JSON for %T", value)) // a defect of this package, which every start would show
}
