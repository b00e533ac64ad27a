package awsemu

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter is one of Parameter Store, with its versions in order: the number of the first is 1.
type parameter struct {
	name, kind string
	versions   []*parameterVersion
}

type parameterVersion struct {
	value   string
	labels  []string
	created time.Time
}

// PutParameter stores a new version of a parameter in a region and returns its number. kind is String, StringList or
// SecureString.
func (s *Server) PutParameter(region, name, kind, value string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{region, name}
	if s.parameters == nil {
		s.parameters = map[place]*parameter{}
	}
	if s.parameters[at] == nil {
		s.parameters[at] = &parameter{name: name}
	}
	p := s.parameters[at]
	p.kind = kind
	p.versions = append(p.versions, &parameterVersion{value: value, created: s.nowLocked()})
	return len(p.versions)
}

// LabelParameter gives a version a label.
func (s *Server) LabelParameter(region, name string, version int, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.parameters[place{region, name}].versions[version-1]
	v.labels = append(v.labels, label)
}

// ParameterARN is the ARN of a parameter.
func ParameterARN(region, name string) string {
	return "arn:aws:ssm:" + region + ":" + Account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// parameterValue is what is told of one version.
type parameterValue struct {
	ARN              string `json:",omitempty"`
	Name             string
	Type             string
	DataType         string
	Value            string
	Version          int
	LastModifiedDate json.Number
	Selector         string   `json:",omitempty"`
	Labels           []string `json:",omitempty"`
	KeyID            string   `json:"KeyId,omitempty"`
}

func (p *parameter) tell(number int, decrypt bool) parameterValue {
	v := p.versions[number-1]
	out := parameterValue{Name: p.name, Type: p.kind, DataType: "text", Value: v.value, Version: number, LastModifiedDate: seconds(v.created)}
	if p.kind == "SecureString" && !decrypt {
		out.Value = "AQICAHencrypted"
	}
	return out
}

// pickLocked finds what NAME, NAME:NUMBER, NAME:LABEL and the same of an ARN mean.
func (s *Server) pickLocked(region, text string) (*parameter, int, string, *failure) {
	missing := &failure{http.StatusBadRequest, "ParameterNotFound", ""}
	name := text
	if at := strings.Index(text, ":parameter/"); at >= 0 {
		name = text[at+len(":parameter"):]
	}
	name, selector, _ := strings.Cut(name, ":")
	p := s.parameters[place{region, name}]
	if p == nil && strings.HasPrefix(text, "arn:") {
		p = s.parameters[place{region, strings.TrimPrefix(name, "/")}]
	}
	if p == nil {
		return nil, 0, "", missing
	}
	if selector == "" {
		return p, len(p.versions), "", nil
	}
	missing = &failure{http.StatusBadRequest, "ParameterVersionNotFound", "Systems Manager could not find version " + selector + " of " + name}
	if n, err := strconv.Atoi(selector); err == nil {
		if n < 1 || n > len(p.versions) {
			return nil, 0, "", missing
		}
		return p, n, ":" + selector, nil
	}
	for i, v := range p.versions {
		if slices.Contains(v.labels, selector) {
			return p, i + 1, ":" + selector, nil
		}
	}
	return nil, 0, "", missing
}

func (s *Server) getParameter(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if fail := may(in.Name); fail != nil {
		return nil, fail
	}
	p, n, selector, fail := s.pickLocked(who.region, in.Name)
	if fail != nil {
		return nil, fail
	}
	if in.WithDecryption && p.kind == "SecureString" {
		if fail := s.decryptLocked(who, "ssm"); fail != nil {
			return nil, fail
		}
	}
	out := p.tell(n, in.WithDecryption)
	out.ARN, out.Selector = ParameterARN(who.region, p.name), selector
	return struct{ Parameter parameterValue }{out}, nil
}

func (s *Server) getParameters(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		Names          []string
		WithDecryption bool
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, invalid(fmt.Sprintf("Value '%d' at 'names' failed to satisfy constraint: Member must have length less than or equal to 10", len(in.Names)))
	}
	out := struct {
		Parameters        []parameterValue
		InvalidParameters []string `json:",omitempty"`
	}{Parameters: []parameterValue{}}
	// AWS refuses the whole call where one name may not be read.
	for _, name := range in.Names {
		if fail := may(name); fail != nil {
			return nil, fail
		}
	}
	for _, name := range in.Names {
		p, n, selector, fail := s.pickLocked(who.region, name)
		if fail != nil {
			out.InvalidParameters = append(out.InvalidParameters, name)
			continue
		}
		if in.WithDecryption && p.kind == "SecureString" {
			if fail := s.decryptLocked(who, "ssm"); fail != nil {
				return nil, fail
			}
		}
		v := p.tell(n, in.WithDecryption)
		v.ARN, v.Selector = ParameterARN(who.region, p.name), selector
		out.Parameters = append(out.Parameters, v)
	}
	return out, nil
}

func (s *Server) getParameterHistory(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		Name           string
		WithDecryption bool
		MaxResults     int
		NextToken      string
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if in.MaxResults == 0 {
		in.MaxResults = 50
	}
	if in.MaxResults < 1 || in.MaxResults > 50 {
		return nil, invalid("MaxResults")
	}
	if fail := may(in.Name); fail != nil {
		return nil, fail
	}
	p, _, _, fail := s.pickLocked(who.region, in.Name)
	if fail != nil {
		return nil, fail
	}
	from, to, next, fail := page(len(p.versions), in.MaxResults, in.NextToken)
	if fail != nil {
		return nil, fail
	}
	out := struct {
		Parameters []parameterValue
		NextToken  string `json:",omitempty"`
	}{[]parameterValue{}, next}
	for n := from + 1; n <= to; n++ {
		v := p.tell(n, in.WithDecryption)
		v.Labels = p.versions[n-1].labels
		out.Parameters = append(out.Parameters, v)
	}
	return out, nil
}

func (s *Server) describeParameters(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		ParameterFilters []struct {
			Key, Option string
			Values      []string
		}
		MaxResults int
		NextToken  string
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if in.MaxResults == 0 {
		in.MaxResults = 50
	}
	if in.MaxResults < 1 || in.MaxResults > 50 {
		return nil, invalid("MaxResults")
	}
	if fail := may("*"); fail != nil {
		return nil, fail
	}
	type entry struct {
		Name, Type, DataType string
		Version              int
		LastModifiedDate     json.Number
	}
	all := []entry{}
	for _, at := range slices.SortedFunc(maps.Keys(s.parameters), func(a, b place) int { return strings.Compare(b.name, a.name) }) {
		p := s.parameters[at]
		match := at.region == who.region
		for _, f := range in.ParameterFilters {
			if f.Key != "Name" || f.Option != "BeginsWith" && f.Option != "Equals" {
				return nil, &failure{http.StatusBadRequest, "InvalidFilterKey", "the emulator filters by names and how they begin only"}
			}
			match = match && slices.ContainsFunc(f.Values, func(v string) bool {
				return p.name == v || f.Option == "BeginsWith" && strings.HasPrefix(p.name, v)
			})
		}
		if match {
			n := len(p.versions)
			all = append(all, entry{p.name, p.kind, "text", n, seconds(p.versions[n-1].created)})
		}
	}
	from, to, next, fail := page(len(all), in.MaxResults, in.NextToken)
	if fail != nil {
		return nil, fail
	}
	return struct {
		Parameters []entry
		NextToken  string `json:",omitempty"`
	}{all[from:to], next}, nil
}
