package trust

import (
	"fmt"
	"slices"
)

// Template makes the rule of a platform. with is what configuration gives it, a string, a list or a boolean each. The
// rule has neither name nor map yet, and no audience but those of the platform: see Rule.Extend.
func Template(name string, with map[string][]string) (Rule, error) {
	if !slices.Contains(Templates(), name) {
		return Rule{}, &Error{Key: []any{"template"}, Msg: fmt.Sprintf("there is no template %q", name)}
	}
	r := Rule{Template: name, Algorithms: []string{"RS256"}, Require: map[string][]string{}}
	for key, values := range with {
		r.Require[key] = values
	}
	return r, nil
}

// Extend gives a template's rule what configuration says beside it: its name and map, its own audiences, algorithms,
// key sources and life where own has them, and own's further requirements and prohibitions.
func (r Rule) Extend(own Rule) (Rule, error) {
	r.Name, r.Map = own.Name, own.Map
	if len(own.Audiences) > 0 {
		r.Audiences = append(slices.Clone(r.Audiences), own.Audiences...)
	}
	return r, nil
}

// Templates names every template, sorted.
func Templates() []string {
	return []string{"aws", "azure", "fly", "github", "gitlab", "google", "key", "kubernetes", "vercel"}
}
