package proxytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// match holds have against the template want: equal, but for the wildcards.
func match(at string, want, have any, vars map[string]string) error {
	switch w := want.(type) {
	case string:
		if w == "*" {
			return nil
		}
		h, ok := have.(string)
		if name, keep := capture(w); keep && ok {
			vars[name] = h
			return nil
		}
		if !ok || h != w {
			return fmt.Errorf("%s: got %v, want %q", at, have, w)
		}
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(h)), slices.Sorted(maps.Keys(w))) {
			return fmt.Errorf("%s: got members %v, want %v", at, keys(have), slices.Sorted(maps.Keys(w)))
		}
		for k := range w {
			if err := match(at+"."+k, w[k], h[k], vars); err != nil {
				return err
			}
		}
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return fmt.Errorf("%s: got %v, want %d elements", at, have, len(w))
		}
		for i := range w {
			if err := match(fmt.Sprintf("%s[%d]", at, i), w[i], h[i], vars); err != nil {
				return err
			}
		}
	case json.Number:
		if h, ok := have.(json.Number); !ok || h != w {
			return fmt.Errorf("%s: got %v, want %v", at, have, w)
		}
	default:
		if have != want {
			return fmt.Errorf("%s: got %v, want %v", at, have, want)
		}
	}
	return nil
}

func keys(v any) any {
	if m, ok := v.(map[string]any); ok {
		return slices.Sorted(maps.Keys(m))
	}
	return v
}

// capture reads "$NAME=".
func capture(s string) (name string, ok bool) {
	if !strings.HasPrefix(s, "$") || !strings.HasSuffix(s, "=") || len(s) < 3 {
		return "", false
	}
	return s[1 : len(s)-1], true
}
