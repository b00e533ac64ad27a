// Package jsonfields makes the fields of a secret of a JSON object, for every vault that keeps one.
package jsonfields

import (
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Of gives the members of an object as fields. A string is its bytes, which move out of the object without a copy;
// everything else is its compact JSON, numbers as they were written. Whether they keep the rules of package secret is for
// the caller to check.
func Of(object *strictjson.Node) []secret.Field {
	fields := make([]secret.Field, len(object.Members))
	for i := range object.Members {
		m := &object.Members[i]
		var b []byte
		if m.Value.Kind == strictjson.String {
			b, m.Value.Text = m.Value.Text, nil
		} else {
			b = strictjson.Append(make([]byte, 0, compactLen(&m.Value)), &m.Value)
		}
		fields[i] = secret.Field{Name: m.Name, Value: secret.NewValue(b)}
	}
	secret.SortFields(fields)
	return fields
}
