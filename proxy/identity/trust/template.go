package trust

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Templates names every template, sorted.
func Templates() []string {
	var out []string
	for _, p := range platforms() {
		if p.template.issuer != "" {
			out = append(out, p.name)
		}
	}
	slices.Sort(out)
	return out
}

// Template makes the rule of a platform from what configuration says under with: a text, a list of texts or a boolean
// each. The rule has neither a name nor a map yet, and no audience of ours: Extend adds them. Errors are an Errors whose
// keys begin with "template" or "with".
func Template(name string, with map[string][]string) (Rule, error) {
	all := platforms()
	i := slices.IndexFunc(all, func(p platform) bool { return p.name == name && p.template.issuer != "" })
	if i < 0 {
		return Rule{}, Errors{{Key: key("template"), Msg: fmt.Sprintf("there is no template %s; there are %s, and a rule for any other issuer has none", excerpt(name), strings.Join(Templates(), ", "))}}
	}
	m := &maker{template: &all[i].template, name: name, with: with}
	r := m.rule()
	if len(m.errs) > 0 {
		return Rule{}, m.errs
	}
	return r, nil
}

// maker fills one template.
type maker struct {
	*template
	name string
	with map[string][]string
	errs Errors
}

func (m *maker) rule() Rule {
	m.check()
	if len(m.errs) > 0 {
		return Rule{}
	}
	r := Rule{
		Template: m.name, Issuer: m.one(m.issuer), JWKSURI: m.one(m.jwksURI), Algorithms: slices.Clone(m.algorithms),
		MaxTTL: m.maxTTL, Assertion: m.assertion, Vouched: m.vouched, Require: map[string][]string{},
	}
	if m.variant != "" && m.said(m.variant) {
		r.Issuer, r.JWKSURI = m.one(m.variantIssuer), m.one(m.variantJWKS)
	}
	if m.audience != "" && m.said("allow_default_audience") {
		r.SharedAudience, r.Audiences = true, []string{m.one(m.audience)}
	}
	for claim, value := range m.require {
		if values := m.fill(value); values != nil {
			r.Require[claim] = values
		}
	}
	return r
}

// check holds with against what the template takes.
func (m *maker) check() {
	known := make([]string, len(m.template.with))
	for i := range m.template.with {
		known[i] = m.template.with[i].name
	}
	for _, name := range slices.Sorted(maps.Keys(m.with)) {
		if !slices.Contains(known, name) {
			m.fail(fmt.Sprintf("template %s takes no such key; it takes %s", m.name, strings.Join(known, ", ")), "with", name)
		}
	}
	for i := range m.template.with {
		m.checkParameter(&m.template.with[i])
	}
	if len(m.oneOf) > 0 && !slices.ContainsFunc(m.oneOf, func(name string) bool { return m.values(name) != nil }) {
		m.fail(fmt.Sprintf("template %s needs one of %s: %s", m.name, strings.Join(m.oneOf, ", "), m.why), "with")
	}
}

func (m *maker) checkParameter(p *parameter) {
	values, ok := m.with[p.name]
	about := ""
	if p.doc != "" {
		about = " (" + p.doc + ")"
	}
	switch {
	case !ok && p.required:
		m.fail(fmt.Sprintf("template %s needs %s%s", m.name, p.name, about), "with")
	case !ok:
	case len(values) == 0:
		m.fail("names nothing"+about, "with", p.name)
	case p.kind != manyText && len(values) > 1:
		m.fail("want one value, not a list"+about, "with", p.name)
	case p.kind == boolean && values[0] != "true" && values[0] != "false":
		m.fail("want true or false"+about, "with", p.name)
	case p.kind != boolean && len(values) == 1 && (values[0] == "true" || values[0] == "false"):
		m.fail("want a text, not true or false"+about, "with", p.name)
	case p.kind != boolean:
		m.checkTexts(p, values)
	}
}

func (m *maker) checkTexts(p *parameter, values []string) {
	inIssuer := strings.Contains(m.issuer, "{"+p.name+"}")
	for i, v := range values {
		at := key("with", p.name)
		if p.kind == manyText && len(values) > 1 {
			at = key("with", p.name, i)
		}
		switch {
		case v == "" || len(v) > maxClaimBytes || !plain(v):
			m.fail("is empty, too long, or holds control characters", at...)
		case p.number && strings.Trim(v, "0123456789*") != "":
			m.fail("want a number, not a name: names are given to others ("+p.doc+")", at...)
		case p.kind == oneText && strings.Contains(v, "*"):
			m.fail(`"*" cannot stand here; write the value out`, at...)
		case inIssuer && p.name == "issuer":
			if msg := checkIssuer(v); msg != "" {
				m.fail(msg, at...)
			}
		case inIssuer && url.PathEscape(v) != v:
			m.fail("want a name without spaces, slashes or anything else that URLs escape", at...)
		}
	}
}

func (m *maker) fail(msg string, at ...any) { m.errs = append(m.errs, &Error{Key: at, Msg: msg}) }

func (m *maker) said(name string) bool { return len(m.with[name]) == 1 && m.with[name][0] == "true" }

// parameter is the key of with whose values a claim of the template must have, "" where it is not one key's.
func (t *template) parameter(claim string) string {
	s := t.require[claim]
	if name := strings.Trim(s, "{}"); s == "{"+name+"}" {
		return name
	}
	return ""
}

// values are what with says under a key, or the key's default; nil for none. What is false is not asked for.
func (m *maker) values(name string) []string {
	i := slices.IndexFunc(m.template.with, func(p parameter) bool { return p.name == name })
	switch p, v := &m.template.with[i], m.with[name]; {
	case p.kind == boolean && !m.said(name):
		return nil
	case len(v) > 0:
		return slices.Clone(v)
	case p.def != "":
		return []string{p.def}
	}
	return nil
}

// fill gives a requirement its values, nil where a key that it needs is not said.
func (m *maker) fill(s string) []string {
	t, _ := parseText(s)
	if len(t.parts) == 1 && t.parts[0].claim != "" {
		return m.values(t.parts[0].claim)
	}
	return []string{m.one(s)}
}

// one fills a text whose keys have one value each.
func (m *maker) one(s string) string {
	t, _ := parseText(s)
	var b strings.Builder
	for _, p := range t.parts {
		if p.claim == "" {
			b.WriteString(p.literal)
		} else {
			b.WriteString(m.values(p.claim)[0])
		}
	}
	return b.String()
}
