package awsemu

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// stored is a secret of Secrets Manager.
type stored struct {
	name, arn string
	versions  []*secretVersion // the oldest first
	deleted   bool             // marked for deletion
}

type secretVersion struct {
	id      string
	stages  []string
	text    *string
	binary  []byte
	created time.Time
}

// PutSecret stores a new current version of a secret in a region and returns its id: text, or binary where text is nil.
func (s *Server) PutSecret(region, name string, text *string, binary []byte) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{region, name}
	if s.secrets == nil {
		s.secrets = map[place]*stored{}
	}
	if s.secrets[at] == nil {
		s.numbers++
		s.secrets[at] = &stored{name: name, arn: fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-%06d", region, Account, name, s.numbers)}
	}
	s.numbers++
	v := &secretVersion{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", s.numbers), text: text, binary: binary, created: s.nowLocked()}
	secret := s.secrets[at]
	secret.versions = append(secret.versions, v)
	secret.label(v, "AWSCURRENT")
	return v.id
}

// LabelSecret moves a staging label to a version.
func (s *Server) LabelSecret(region, name, id, stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret := s.secrets[place{region, name}]
	for _, v := range secret.versions {
		if v.id == id {
			secret.label(v, stage)
		}
	}
}

// MarkForDeletion begins the recovery window of a secret.
func (s *Server) MarkForDeletion(region, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[place{region, name}].deleted = true
}

// SecretARN is the ARN of a secret.
func (s *Server) SecretARN(region, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[place{region, name}].arn
}

// label moves a stage to v. The version that loses AWSCURRENT becomes AWSPREVIOUS.
func (s *stored) label(v *secretVersion, stage string) {
	for _, other := range s.versions {
		if i := slices.Index(other.stages, stage); i >= 0 && other != v {
			other.stages = slices.Delete(other.stages, i, i+1)
			if stage == "AWSCURRENT" {
				s.label(other, "AWSPREVIOUS")
			}
		}
	}
	v.stages = slices.DeleteFunc(v.stages, func(s string) bool { return stage == "AWSCURRENT" && s == "AWSPREVIOUS" })
	if !slices.Contains(v.stages, stage) {
		v.stages = append(v.stages, stage)
	}
}

// findLocked looks a secret up by name, ARN, or ARN without its last part.
func (s *Server) findLocked(region, id string) (*stored, *failure) {
	for at, secret := range s.secrets {
		if at.region == region && (at.name == id || secret.arn == id || secret.arn[:len(secret.arn)-7] == id) {
			if secret.deleted {
				return nil, &failure{http.StatusBadRequest, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."}
			}
			return secret, nil
		}
	}
	return nil, &failure{http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."}
}

// allowedInBatchLocked says whether one secret of a batch is refused. deny is asked with no principal.
func (s *Server) allowedInBatchLocked(who identity, id string) *failure {
	c := Call{"secretsmanager:GetSecretValue", who.region, who.principal, id}
	if fail := s.permittedLocked(c); fail != nil {
		return fail
	}
	if fail := s.decryptLocked(who, "secretsmanager"); fail != nil {
		return fail
	}
	if c.Principal = ""; s.deny != nil && s.deny(c) {
		return &failure{0, "AccessDeniedException", "not authorized to perform: secretsmanager:GetSecretValue"}
	}
	return nil
}

type secretValue struct {
	ARN           string
	Name          string
	VersionID     string   `json:"VersionId"`
	SecretString  *string  `json:",omitempty"`
	SecretBinary  []byte   `json:",omitempty"`
	VersionStages []string `json:",omitempty"`
	CreatedDate   json.Number
}

func (s *stored) value(v *secretVersion) secretValue {
	return secretValue{s.arn, s.name, v.id, v.text, v.binary, v.stages, seconds(v.created)}
}

// version finds a version by its id or its stage.
func (s *stored) version(id, stage string) *secretVersion {
	for _, v := range s.versions {
		if id != "" && v.id == id || id == "" && slices.Contains(v.stages, stage) {
			return v
		}
	}
	return nil
}

func (s *Server) getSecretValue(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct{ SecretID, VersionID, VersionStage string }
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if in.VersionID != "" && (len(in.VersionID) < 32 || len(in.VersionID) > 64) {
		return nil, invalid("Member must have length between 32 and 64")
	}
	if in.VersionStage == "" {
		in.VersionStage = "AWSCURRENT"
	}
	if fail := may(in.SecretID); fail != nil {
		return nil, fail
	}
	secret, fail := s.findLocked(who.region, in.SecretID)
	if fail != nil {
		return nil, fail
	}
	v := secret.version(in.VersionID, in.VersionStage)
	if v == nil {
		return nil, &failure{http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label or version"}
	}
	if fail := s.decryptLocked(who, "secretsmanager"); fail != nil {
		return nil, fail
	}
	return secret.value(v), nil
}

func (s *Server) batchGetSecretValue(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		SecretIDList []string `json:"SecretIdList"`
		NextToken    string
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if len(in.SecretIDList) == 0 || len(in.SecretIDList) > 20 {
		return nil, &failure{http.StatusBadRequest, "InvalidParameterException", "between 1 and 20 secrets"}
	}
	if fail := may("*"); fail != nil {
		return nil, fail
	}
	var out struct {
		SecretValues []secretValue       `json:",omitempty"`
		Errors       []map[string]string `json:",omitempty"`
		NextToken    string              `json:",omitempty"`
	}
	size := len(in.SecretIDList)
	if s.batchPage > 0 {
		size = s.batchPage
	}
	from, to, next, fail := page(len(in.SecretIDList), size, in.NextToken)
	if fail != nil {
		return nil, fail
	}
	out.NextToken = next
	for _, id := range in.SecretIDList[from:to] {
		secret, fail := s.findLocked(who.region, id)
		if refused := s.allowedInBatchLocked(who, id); refused != nil {
			fail = refused
		}
		if fail != nil {
			out.Errors = append(out.Errors, map[string]string{"SecretId": id, "ErrorCode": fail.code, "Message": fail.message})
			continue
		}
		if v := secret.version("", "AWSCURRENT"); v != nil {
			out.SecretValues = append(out.SecretValues, secret.value(v))
		}
	}
	return out, nil
}

func (s *Server) listSecrets(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		MaxResults int
		NextToken  string
		Filters    []struct {
			Key    string
			Values []string
		}
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if in.MaxResults == 0 {
		in.MaxResults = 100
	}
	if in.MaxResults < 1 || in.MaxResults > 100 || len(in.Filters) > 10 {
		return nil, &failure{http.StatusBadRequest, "InvalidParameterException", "MaxResults or Filters"}
	}
	if fail := may("*"); fail != nil {
		return nil, fail
	}
	type entry struct {
		ARN, Name              string
		CreatedDate            json.Number
		LastChangedDate        json.Number
		SecretVersionsToStages map[string][]string
	}
	all := []entry{}
	for _, at := range slices.SortedFunc(maps.Keys(s.secrets), func(a, b place) int { return strings.Compare(s.secrets[a].arn, s.secrets[b].arn) }) {
		secret := s.secrets[at]
		if at.region != who.region || secret.deleted {
			continue
		}
		match := true
		for _, f := range in.Filters {
			if f.Key != "name" {
				return nil, &failure{http.StatusBadRequest, "InvalidParameterException", "the emulator filters by name only"}
			}
			match = match && slices.ContainsFunc(f.Values, func(v string) bool { return strings.HasPrefix(secret.name, v) })
		}
		if !match {
			continue
		}
		e := entry{
			ARN: secret.arn, Name: secret.name, CreatedDate: seconds(secret.versions[0].created),
			LastChangedDate: seconds(secret.versions[len(secret.versions)-1].created), SecretVersionsToStages: map[string][]string{},
		}
		for _, v := range secret.versions {
			if len(v.stages) > 0 {
				e.SecretVersionsToStages[v.id] = v.stages
			}
		}
		all = append(all, e)
	}
	slices.Reverse(all) // not in the order of names
	from, to, next, fail := page(len(all), in.MaxResults, in.NextToken)
	if fail != nil {
		return nil, fail
	}
	return struct {
		SecretList []entry
		NextToken  string `json:",omitempty"`
	}{all[from:to], next}, nil
}

func (s *Server) listSecretVersionIDs(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		SecretID          string `json:"SecretId"`
		MaxResults        int
		NextToken         string
		IncludeDeprecated bool
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if in.MaxResults == 0 {
		in.MaxResults = 100
	}
	if in.MaxResults < 1 || in.MaxResults > 100 {
		return nil, &failure{http.StatusBadRequest, "InvalidParameterException", "MaxResults"}
	}
	if fail := may(in.SecretID); fail != nil {
		return nil, fail
	}
	secret, fail := s.findLocked(who.region, in.SecretID)
	if fail != nil {
		return nil, fail
	}
	type entry struct {
		VersionID     string   `json:"VersionId"`
		VersionStages []string `json:",omitempty"`
		CreatedDate   json.Number
	}
	all := []entry{}
	for _, v := range secret.versions {
		if len(v.stages) > 0 || in.IncludeDeprecated {
			all = append(all, entry{v.id, v.stages, seconds(v.created)})
		}
	}
	from, to, next, fail := page(len(all), in.MaxResults, in.NextToken)
	if fail != nil {
		return nil, fail
	}
	return struct {
		ARN, Name string
		Versions  []entry
		NextToken string `json:",omitempty"`
	}{secret.arn, secret.name, all[from:to], next}, nil
}
