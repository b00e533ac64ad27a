package awsemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Statement is one of an IAM policy (IAM User Guide, "IAM JSON policy element reference"), of which the emulator knows
// Allow, and the conditions StringEquals of one value.
type Statement struct {
	Sid       string                       `json:",omitempty"`
	Effect    string                       // Allow
	Principal map[string]string            `json:",omitempty"` // of trust policies
	Action    Strings                      // patterns
	Resource  Strings                      `json:",omitempty"` // patterns; none in trust policies
	Condition map[string]map[string]string `json:",omitempty"`
}

// Strings is a list, which may be written as its one element.
type Strings []string

// UnmarshalJSON takes either.
func (s *Strings) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*s = make(Strings, 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// ParsePolicy reads a policy and refuses what the emulator would not go by.
func ParsePolicy(document string) ([]Statement, error) {
	var p struct {
		Version   string
		Statement []Statement
	}
	d := json.NewDecoder(strings.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		return nil, errors.New("not a policy of 2012-10-17")
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" || len(s.Action) == 0 || (len(s.Resource) == 0) == (s.Principal == nil) {
			return nil, fmt.Errorf("statement %q: want Allow, actions, and resources or a principal", s.Sid)
		}
		for operator := range s.Condition {
			if operator != "StringEquals" {
				return nil, fmt.Errorf("statement %q: the emulator does not know %s", s.Sid, operator)
			}
		}
	}
	return p.Statement, nil
}

// Attach gives a principal policies, in place of any that it had: it may do what they allow, and nothing else. One that
// never had any may do everything.
func (s *Server) Attach(principal string, statements ...Statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policies == nil {
		s.policies = map[string][]Statement{}
	}
	s.policies[principal] = statements
}

// SetKey says that a KMS key of the customer's encrypts all values.
func (s *Server) SetKey(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = arn
}

// SetRegion makes the emulator the endpoint of one region.
func (s *Server) SetRegion(region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.only = region
}

// permittedLocked says whether the policies of a principal, if it has any, lack what a call needs.
func (s *Server) permittedLocked(c Call) *failure {
	return s.permittedWhereLocked(c, s.arnLocked(c), nil)
}

func (s *Server) permittedWhereLocked(c Call, resource string, context map[string]string) *failure {
	statements, limited := s.policies[c.Principal]
	if !limited || slices.ContainsFunc(statements, func(t Statement) bool { return t.allows(c.Action, resource, context) }) {
		return nil
	}
	return refusal(c, resource)
}

func refusal(c Call, resource string) *failure {
	return &failure{
		http.StatusBadRequest, "AccessDeniedException",
		"User: " + c.Principal + " is not authorized to perform: " + c.Action + " on resource: " + resource +
			" because no identity-based policy allows the " + c.Action + " action",
	}
}

// decryptLocked says whether a principal may use the key of the values through a service.
func (s *Server) decryptLocked(who identity, service string) *failure {
	if s.key == "" {
		return nil
	}
	c := Call{"kms:Decrypt", who.region, who.principal, s.key}
	s.calls = append(s.calls, c)
	return s.permittedWhereLocked(c, s.key, map[string]string{"kms:ViaService": service + "." + who.region + ".amazonaws.com"})
}

// arnLocked is what policies know the resource of a call by. For a secret that is not there it is the name that was asked
// for, so that only those learn of that who may read every secret.
func (s *Server) arnLocked(c Call) string {
	switch {
	case c.Resource == "*":
		return "*"
	case strings.HasPrefix(c.Action, "ssm:"):
		name := c.Resource
		if i := strings.Index(name, ":parameter/"); i >= 0 {
			name = name[i+len(":parameter"):]
		}
		name, _, _ = strings.Cut(name, ":")
		return ParameterARN(c.Region, name)
	case strings.HasPrefix(c.Action, "firehose:"):
		return StreamARN(c.Region, c.Resource)
	case strings.HasPrefix(c.Action, "secretsmanager:"):
		for at, secret := range s.secrets {
			if at.region == c.Region && (at.name == c.Resource || secret.arn == c.Resource) {
				return secret.arn
			}
		}
	}
	return c.Resource
}

func (t Statement) allows(action, resource string, context map[string]string) bool {
	for key, want := range t.Condition["StringEquals"] {
		if context[key] != want {
			return false
		}
	}
	matches := func(text string) func(string) bool { return func(pattern string) bool { return wild(pattern, text) } }
	return slices.ContainsFunc(t.Action, matches(action)) && slices.ContainsFunc(t.Resource, matches(resource))
}

// wild matches a pattern, of which * is any text and ? any character.
func wild(pattern, text string) bool {
	for i := range len(pattern) {
		switch {
		case pattern[i] == '*':
			for j := i; j <= len(text); j++ {
				if wild(pattern[i+1:], text[j:]) {
					return true
				}
			}
			return false
		case i >= len(text), pattern[i] != '?' && pattern[i] != text[i]:
			return false
		}
	}
	return len(pattern) == len(text)
}
