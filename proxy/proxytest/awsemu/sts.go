package awsemu

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// sessionLife is how long the session of a role lasts.
const sessionLife = time.Hour

// Role can be assumed.
type Role struct {
	ARN        string
	ExternalID string // that whoever assumes it must send; "" for none
	From       string // Principal that may assume it; "" for every one
}

// issued is the session of a role.
type issued struct {
	role  string
	creds aws.Credentials
}

// AddRole makes a role, or replaces it.
func (s *Server) AddRole(r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roles == nil {
		s.roles = map[string]Role{}
	}
	s.roles[r.ARN] = r
}

// ExpireSessions ends all sessions that were issued so far.
func (s *Server) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.sessions {
		i.creds.Expires = time.Unix(0, 0)
	}
}

// RefuseRoles says whether AssumeRole is refused from now on.
func (s *Server) RefuseRoles(refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roleRefused = refused
}

func formAction(body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

// stsLocked answers the query protocol of STS.
func (s *Server) stsLocked(w http.ResponseWriter, body []byte, who identity, fail *failure) {
	w.Header().Set("Content-Type", "text/xml")
	var result string
	form, err := url.ParseQuery(string(body))
	switch {
	case fail != nil:
	case err != nil || form.Get("Version") != "2011-06-15":
		fail = &failure{http.StatusBadRequest, "ValidationError", "the request is malformed"}
	case form.Get("Action") == "AssumeRole":
		result, fail = s.assumeLocked(form, who)
	case form.Get("Action") == "GetWebIdentityToken":
		result, fail = s.webIdentityLocked(form, who)
	default:
		fail = &failure{http.StatusBadRequest, "InvalidAction", "there is no such action"}
	}
	if fail != nil {
		w.WriteHeader(fail.status)
		_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
			fail.code, escape(fail.message))
		return
	}
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult>%[2]s</%[1]sResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></%[1]sResponse>`,
		form.Get("Action"), result)
}

func (s *Server) assumeLocked(form url.Values, who identity) (string, *failure) {
	i, fail := s.issueLocked(form, who)
	if fail != nil {
		return "", fail
	}
	return fmt.Sprintf(`<AssumedRoleUser><AssumedRoleId>AROA:keyhole</AssumedRoleId><Arn>%s</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>`,
		escape(i.role), i.creds.AccessKeyID, i.creds.SecretAccessKey, i.creds.SessionToken, i.creds.Expires.UTC().Format(time.RFC3339)), nil
}

func (s *Server) issueLocked(form url.Values, who identity) (*issued, *failure) {
	if len(form.Get("RoleSessionName")) < 2 {
		return nil, &failure{http.StatusBadRequest, "ValidationError", "the request is malformed"}
	}
	arn := form.Get("RoleArn")
	call := Call{"sts:AssumeRole", who.region, who.principal, arn}
	s.calls = append(s.calls, call)
	role, ok := s.roles[arn]
	if !ok || s.roleRefused || role.ExternalID != form.Get("ExternalId") || role.From != "" && role.From != who.principal || s.permittedLocked(call) != nil {
		return nil, &failure{http.StatusForbidden, "AccessDenied", "User: " + who.principal + " is not authorized to perform: sts:AssumeRole on resource: " + arn}
	}
	return s.sessionLocked(arn), nil
}

// Session is the keys and the token of a new session of a role, as a service hands them to what runs under that role.
func (s *Server) Session(arn string) (id, key, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.sessionLocked(arn).creds
	return c.AccessKeyID, c.SecretAccessKey, c.SessionToken
}

func (s *Server) sessionLocked(arn string) *issued {
	s.numbers++
	i := &issued{arn, aws.Credentials{
		AccessKeyID: fmt.Sprintf("ASIAEMULATOR%08d", s.numbers), SecretAccessKey: fmt.Sprintf("session/secret/%d", s.numbers),
		SessionToken: fmt.Sprintf("session+token/%d==", s.numbers), Expires: s.nowLocked().Add(sessionLife).Truncate(time.Second),
	}}
	if s.sessions == nil {
		s.sessions = map[string]*issued{}
	}
	s.sessions[i.creds.AccessKeyID] = i
	return i
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}
