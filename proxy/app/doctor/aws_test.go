package doctor_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
)

const (
	awsRole = "arn:aws:iam::" + awsemu.Account + ":role/"
	secrets = "arn:aws:secretsmanager:" + awsemu.Region + ":" + awsemu.Account + ":secret:"
	store   = "arn:aws:ssm:" + awsemu.Region + ":" + awsemu.Account + ":parameter/"
)

// beforeAWS adds an upstream and a mount of it to a set-up, with the environment of the emulator's user.
func beforeAWS(t *testing.T, url, upstream, mount string, env map[string]string) doctor.Config {
	t.Helper()
	dir, c := setUp(t)
	edit(t, dir, "upstreams:\n", "upstreams:\n  cloud: {"+upstream+"}\n")
	edit(t, dir, "mounts:\n", "mounts:\n  - {path: cloud, upstream: cloud, "+mount+"}\n")
	return inAWS(t, c, url, env)
}

// inAWS gives a set-up the environment of the emulator's user.
func inAWS(t *testing.T, c doctor.Config, url string, env map[string]string) doctor.Config {
	t.Helper()
	dir := filepath.Dir(c.File)
	all := map[string]string{
		"AWS_ACCESS_KEY_ID": awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY": awsemu.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL": url, "AWS_REGION": awsemu.Region, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
	}
	maps.Copy(all, env)
	for name, value := range all {
		t.Setenv(name, value) // for the chain, which reads the process's own
	}
	c.Getenv = func(name string) string { return all[name] }
	return c
}

func allow(action, resource string) awsemu.Statement {
	return awsemu.Statement{Effect: "Allow", Action: strings.Fields(action), Resource: awsemu.Strings{resource}}
}

const (
	sm  = "type: secretsmanager"
	ssm = "type: parameterstore"
	web = "at: apps/web"
)

// What AWS lets be found out, one thing each. No secret is read for it.
func TestAWS(t *testing.T) {
	type set = map[string]string
	for name, tt := range map[string]struct {
		upstream, mount string
		env             set
		change          func(*awsemu.Server)
		status          doctor.Status
		where, what     string
	}{
		"secrets":    {sm, web, nil, nil, doctor.OK, "upstreams.cloud", "read apps/web/A, and its previous version; its versions; list below \"apps/web\""},
		"parameters": {ssm, web, nil, nil, doctor.OK, "upstreams.cloud", "list below \"apps/web\"; read /apps/web/A, and its previous version; its versions"},
		"one parameter": {ssm, "at: apps/web/A", nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("ssm:GetParameter ssm:GetParameters", store+"apps/web/A"))
		}, doctor.OK, "upstreams.cloud", "read /apps/web/A,"},
		"one of many secrets":          {sm, "at: apps/web/A", nil, nil, doctor.OK, "upstreams.cloud", "read apps/web/A, and its previous version"},
		"one of fields":                {sm, "at: apps/web/A, layout: fields", nil, nil, doctor.OK, "upstreams.cloud", "read apps/web/A, and its previous version"},
		"one of many parameters":       {ssm, "at: apps/web/A", nil, nil, doctor.OK, "upstreams.cloud", "read /apps/web/A, and its previous version"},
		"no secret of that name":       {sm, "at: apps/we, layout: fields", nil, nil, doctor.Warn, "upstreams.cloud.region", "lists nothing below \"apps/we\""},
		"no parameter of that name":    {ssm, "at: apps/we, layout: fields", nil, nil, doctor.Warn, "upstreams.cloud.region", "lists nothing below \"apps/we\""},
		"the ARN of one":               {ssm, "at: '" + store + "apps/web'", nil, func(s *awsemu.Server) { s.Attach(awsemu.AccessKey, allow("ssm:GetParameter", store+"apps/web/*")) }, doctor.OK, "upstreams.cloud", "read " + store + "apps/web/"},
		"a role":                       {sm + ", role_arn: '" + awsRole + "open'", web, nil, nil, doctor.OK, "upstreams.cloud", "it lets us assume " + awsRole + "open; read apps/web/A"},
		"a mount's role":               {sm, web + ", assume_role: {arn: '" + awsRole + "team', external_id: e1}", nil, nil, doctor.OK, "upstreams.cloud", "it lets us assume " + awsRole + "team"},
		"a wrong external id":          {sm, web + ", assume_role: {arn: '" + awsRole + "team', external_id: e2}", nil, nil, doctor.Fail, "mounts[0].assume_role", "the role " + awsRole + "team may not be assumed"},
		"no such role":                 {sm + ", role_arn: '" + awsRole + "none'", web, nil, nil, doctor.Fail, "upstreams.cloud.role_arn", "may not be assumed"},
		"a role of China":              {sm + ", role_arn: 'arn:aws-cn:iam::1:role/x'", web, nil, nil, doctor.Fail, "upstreams.cloud.role_arn", "the role is of the partition aws-cn, and the region eu-west-1 of aws"},
		"an ARN of GovCloud":           {ssm, "at: 'arn:aws-us-gov:ssm:us-gov-west-1:1:parameter/x'", nil, nil, doctor.Fail, "upstreams.cloud.region", "of the partition aws-us-gov"},
		"no credentials":               {sm, web, set{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, nil, doctor.Fail, "upstreams.cloud", "the AWS credentials"},
		"an unknown key":               {sm, web, set{"AWS_ACCESS_KEY_ID": "AKIDcanary"}, nil, doctor.Fail, "upstreams.cloud", "does not know the access key"},
		"the same, before a role":      {sm + ", role_arn: '" + awsRole + "open'", web, set{"AWS_ACCESS_KEY_ID": "AKIDcanary"}, nil, doctor.Fail, "upstreams.cloud", "does not know the access key"},
		"a wrong secret key":           {ssm, web, set{"AWS_SECRET_ACCESS_KEY": "canary"}, nil, doctor.Fail, "upstreams.cloud", "does not take the signature"},
		"another region's endpoint":    {sm + ", region: us-east-2", web, nil, func(s *awsemu.Server) { s.SetRegion(awsemu.Region) }, doctor.Fail, "upstreams.cloud.endpoint", "answers for another region than us-east-2"},
		"the same, of a role":          {sm + ", region: us-east-2, role_arn: '" + awsRole + "open'", web, nil, func(s *awsemu.Server) { s.SetRegion(awsemu.Region) }, doctor.Fail, "upstreams.cloud.endpoint", "another region"},
		"an endpoint by its name":      {sm + ", endpoint: 'https://vpce-1-a.secretsmanager.us-east-1.vpce.amazonaws.com'", web, nil, nil, doctor.Fail, "upstreams.cloud.endpoint", "the endpoint is of us-east-1, and the region is eu-west-1"},
		"secrets in another region":    {sm + ", region: us-east-2", web, nil, nil, doctor.Warn, "upstreams.cloud.region", "lists nothing below \"apps/web\" in us-east-2"},
		"parameters in another region": {ssm + ", region: us-east-2", web, nil, nil, doctor.Warn, "upstreams.cloud.region", "lists nothing below \"apps/web\" in us-east-2"},
		"no GetSecretValue": {sm, web, nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("secretsmanager:ListSecrets secretsmanager:BatchGetSecretValue", "*"))
		}, doctor.Fail, "upstreams.cloud", "refuses secretsmanager:GetSecretValue on apps/web/A, for no identity-based policy allows it"},
		"a team without it": {sm, web + ", assume_role: {arn: '" + awsRole + "team', external_id: e1}", nil, func(s *awsemu.Server) {
			s.Attach(awsRole+"team", allow("secretsmanager:ListSecrets secretsmanager:BatchGetSecretValue", "*"))
		}, doctor.Fail, "mounts[0].assume_role", "refuses secretsmanager:GetSecretValue"},
		"neither list nor a name": {sm, web, nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("secretsmanager:GetSecretValue", secrets+"apps/web/*"), allow("secretsmanager:BatchGetSecretValue", "*"))
		}, doctor.Warn, "upstreams.cloud", "refuses secretsmanager:GetSecretValue on apps/web/keyhole-doctor"},
		"no BatchGetSecretValue": {sm, web, nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("secretsmanager:GetSecretValue", secrets+"apps/web/*"), allow("secretsmanager:ListSecrets", "*"))
		}, doctor.Warn, "upstreams.cloud", "refuses secretsmanager:BatchGetSecretValue on *"},
		"no GetParameter": {ssm, web, nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("ssm:GetParameters", store+"*"), allow("ssm:DescribeParameters", "*"))
		}, doctor.Fail, "upstreams.cloud", "refuses ssm:GetParameter on /apps/web/A"},
		"no GetParameters": {ssm, web, nil, func(s *awsemu.Server) { s.Attach(awsemu.AccessKey, allow("ssm:GetParameter", store+"*")) }, doctor.Warn, "upstreams.cloud", "refuses ssm:GetParameters"},
		"one that is denied": {ssm, web, nil, func(s *awsemu.Server) {
			s.Interpose(func(w http.ResponseWriter, _ *http.Request, action string) bool {
				if action != "ssm:GetParameter" {
					return false
				}
				w.WriteHeader(400)
				fmt.Fprint(w, `{"__type":"AccessDeniedException","message":"canary is not authorized to perform: ssm:GetParameter with an explicit deny in a service control policy"}`)
				return true
			})
		}, doctor.Fail, "upstreams.cloud", "refuses ssm:GetParameter on /apps/web/A, by an explicit deny in a service control policy"},
		"expired":             {ssm, web, nil, answer(403, `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"canary"}`), doctor.Fail, "upstreams.cloud", "have expired"},
		"not enabled":         {ssm, web, nil, answer(403, `{"__type":"OptInRequired","message":"canary"}`), doctor.Fail, "upstreams.cloud.region", "does not use ssm in eu-west-1"},
		"another service":     {ssm, web, nil, answer(404, `{"__type":"UnknownOperationException"}`), doctor.Fail, "upstreams.cloud.endpoint", "another service than ssm"},
		"a gateway":           {ssm, web, nil, answer(200, `<html>canary`), doctor.Fail, "upstreams.cloud.endpoint", "not one of AWS"},
		"nonsense":            {ssm, web, nil, answer(200, `{"Parameters":["canary"]}`), doctor.Fail, "upstreams.cloud.endpoint", "not one of AWS"},
		"too often":           {sm, web, nil, answer(400, `{"__type":"ThrottlingException","message":"canary"}`), doctor.Fail, "upstreams.cloud.limits.rate", "ThrottlingException"},
		"an outage":           {sm, web, nil, answer(500, `{"__type":"InternalServiceError"}`), doctor.Fail, "upstreams.cloud.endpoint", "500"},
		"the clock, says AWS": {sm, web, nil, answer(400, `{"__type":"RequestTimeTooSkewed"}`), doctor.Fail, "upstreams.cloud", "whose clock is more than 5 minutes wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			emu, url := awsemu.Start(t)
			emu.AddRole(awsemu.Role{ARN: awsRole + "open"})
			emu.AddRole(awsemu.Role{ARN: awsRole + "team", ExternalID: "e1"})
			value := canary
			emu.PutSecret(awsemu.Region, "apps/web/A", &value, nil)
			emu.PutParameter(awsemu.Region, "/apps/web/A", "String", value)
			if tt.change != nil {
				tt.change(emu)
			}
			c := beforeAWS(t, url, tt.upstream, tt.mount, tt.env)
			wantOne(t, about(t, c), tt.status, tt.where, tt.what)
			for _, x := range emu.Exchanges() {
				if strings.Contains(string(x.Output), canary) {
					t.Errorf("%s was answered with a value", x.Operation)
				}
			}
		})
	}
}

// answer gives each call the same answer.
func answer(status int, body string) func(*awsemu.Server) {
	return func(s *awsemu.Server) {
		s.Interpose(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		})
	}
}

// A clock that AWS takes no signature of is a failure, beside the warning that every wrong clock is.
func TestClockOfAWS(t *testing.T) {
	for off, want := range map[time.Duration]int{0: 0, 2 * time.Minute: 1, -2 * time.Minute: 1, 10 * time.Minute: 2, -10 * time.Minute: 2} {
		t.Run(off.String(), func(t *testing.T) {
			emu, url := awsemu.Start(t)
			emu.PutParameter(awsemu.Region, "/apps/web/A", "String", "a")
			emu.SetWall(func() time.Time { return time.Now().Add(off) })
			found := about(t, beforeAWS(t, url, ssm, web, nil))
			if want == 0 {
				wantOne(t, found, doctor.OK, "upstreams.cloud", "read")
				return
			}
			if len(found) != want {
				t.Fatalf("got %+v", found)
			}
			side := map[bool]string{true: "ahead of ours", false: "behind ours"}[off > 0]
			wantOne(t, found[:1], doctor.Warn, "upstreams.cloud", side)
			if want == 2 {
				wantOne(t, found[1:], doctor.Fail, "upstreams.cloud", "whose clock is more than 5 minutes wrong")
			}
		})
	}
}

// Where AWS is not reached.
func TestNoAWSThere(t *testing.T) {
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	defer secured.Close()
	for url, want := range map[string]string{"http://" + proxytest.Nobody(t): "cannot connect", secured.URL: "certificate is not trusted"} {
		t.Run(want, func(t *testing.T) {
			wantOne(t, about(t, beforeAWS(t, url, sm, web, nil)), doctor.Fail, "upstreams.cloud.endpoint", want)
			c := beforeAWS(t, url, sm+", role_arn: '"+awsRole+"open'", web, nil)
			wantOne(t, about(t, c), doctor.Fail, "upstreams.cloud.endpoint", want)
		})
	}
}

// Each role is looked at with the places of its own mounts, and an upstream of which all mounts have roles is not asked
// what it would serve without.
func TestEachRoleByItself(t *testing.T) {
	emu, url := awsemu.Start(t)
	for _, team := range []string{"red", "blue"} {
		emu.AddRole(awsemu.Role{ARN: awsRole + team})
		emu.PutParameter(awsemu.Region, "/"+team+"/A", "String", team)
		emu.Attach(awsRole+team, allow("ssm:GetParameter ssm:GetParameters", store+team+"/*"), allow("ssm:DescribeParameters", "*"))
	}
	emu.Attach(awsemu.AccessKey, allow("sts:AssumeRole", awsRole+"*"))
	c := beforeAWS(t, url, ssm, "at: red, assume_role: {arn: '"+awsRole+"red'}", nil)
	edit(t, filepath.Dir(c.File), "mounts:\n", "mounts:\n  - {path: blue, upstream: cloud, at: blue, assume_role: {arn: '"+awsRole+"blue'}}\n")
	found := about(t, c)
	if len(found) != 2 {
		t.Fatalf("got %+v", found)
	}
	wantOne(t, found[:1], doctor.OK, "upstreams.cloud", "read /blue/A")
	wantOne(t, found[1:], doctor.OK, "upstreams.cloud", "read /red/A")
}
