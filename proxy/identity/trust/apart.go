package trust

import (
	"fmt"
	"strings"
)

// checkApart wants that what must be kept apart does not end in one place: a preview never has what production has.
func (k *checker) checkApart() {
	for _, name := range k.platform.exact {
		if len(k.Require[name]) < 2 {
			continue
		}
		for i := range k.scopes {
			if !k.scopes[i].uses(name) {
				k.fail(fmt.Sprintf("gives every %s of the rule the same: write {%s} into it, or a rule for each", name, name), "map", "scope", i)
			}
		}
	}
	for i := range k.scopes {
		k.checkOpen(&k.scopes[i], i)
	}
}

// checkOpen looks at claims behind whose place a segment goes on with anything, as in {id}* and {id}-*: there the value
// web would also take what web-2 has. Values that are written out are held against each other now; of others the text
// that stands behind them has to show where they end, which is looked at when a token brings one.
func (k *checker) checkOpen(t *text, scope int) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.index < 0 {
			continue
		}
		behind, open := t.behind(i)
		r := &k.require[p.index]
		switch a, b := r.overlap(behind); {
		case !open:
		case !r.literal() && behind == "":
			k.fail(fmt.Sprintf("{%s} has to fill its segment to the end, as in {%s}/*: with a value that begins like another it would take what the other has", p.claim, p.claim), "map", "scope", scope)
		case !r.literal():
			p.until = behind
		case a != "":
			k.fail(fmt.Sprintf("{%s}: what it gives for %s takes in what it gives for %s; let it fill its segment to the end, as in {%s}/*, or write a rule for each", p.claim, excerpt(a), excerpt(b), p.claim), "map", "scope", scope)
		}
	}
}

// behind is the text that follows a part in its segment, up to a "*" or another claim, and whether there is one.
func (t *text) behind(part int) (string, bool) {
	var b strings.Builder
	for _, p := range t.parts[part+1:] {
		if p.claim != "" {
			return b.String(), true
		}
		text, _, ends := strings.Cut(p.literal, "/")
		text, _, star := strings.Cut(text, "*")
		b.WriteString(text)
		if star || ends {
			return b.String(), star
		}
	}
	return b.String(), false
}

// overlap finds two values of which one, with the text behind it, is the beginning of the other.
func (r *requirement) overlap(behind string) (short, long string) {
	for _, short := range r.values {
		for _, long := range r.values {
			if short != long && strings.HasPrefix(long+behind, short+behind) {
				return short, long
			}
		}
	}
	return "", ""
}

// ends reports whether the text behind the place shows where the value ends.
func (p *part) ends(value string) bool {
	return p.until == "" || strings.Index(value+p.until, p.until) == len(value)
}
