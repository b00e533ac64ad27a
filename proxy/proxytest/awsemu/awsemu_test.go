package awsemu_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const role = "arn:aws:iam::" + awsemu.Account + ":role/reader"

func keys(id, secret, token string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
	})
}

func config(url string, who aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: awsemu.Region, BaseEndpoint: &url, Credentials: who, RetryMaxAttempts: 1}
}

var user = keys(awsemu.AccessKey, awsemu.SecretKey, "")

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// AWS's own client understands every answer.
func TestSDKSecretsManager(t *testing.T) {
	emu, url := awsemu.Start(t)
	c := secretsmanager.NewFromConfig(config(url, user))
	one := emu.PutSecret(awsemu.Region, "web/A", aws.String("one"), nil)
	two := emu.PutSecret(awsemu.Region, "web/A", aws.String("two"), nil)
	emu.PutSecret(awsemu.Region, "web/B", nil, []byte{0, 0xff})

	got := must[*secretsmanager.GetSecretValueOutput](t)(c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("web/A")}))
	if *got.SecretString != "two" || *got.VersionId != two || time.Since(*got.CreatedDate) > time.Hour {
		t.Errorf("got %q at %s of %v", *got.SecretString, *got.VersionId, got.CreatedDate)
	}
	got = must[*secretsmanager.GetSecretValueOutput](t)(c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: got.ARN, VersionStage: aws.String("AWSPREVIOUS")}))
	if *got.SecretString != "one" || *got.VersionId != one {
		t.Errorf("previous: got %q at %s", *got.SecretString, *got.VersionId)
	}
	many := must[*secretsmanager.BatchGetSecretValueOutput](t)(c.BatchGetSecretValue(t.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"web/B", "web/none"}}))
	if len(many.SecretValues) != 1 || string(many.SecretValues[0].SecretBinary) != "\x00\xff" || len(many.Errors) != 1 || *many.Errors[0].ErrorCode != "ResourceNotFoundException" {
		t.Errorf("got %+v", many)
	}
	list := must[*secretsmanager.ListSecretsOutput](t)(c.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{
		MaxResults: aws.Int32(1), Filters: []smtypes.Filter{{Key: smtypes.FilterNameStringTypeName, Values: []string{"web/"}}},
	}))
	if len(list.SecretList) != 1 || list.NextToken == nil {
		t.Errorf("got %+v", list)
	}
	versions := must[*secretsmanager.ListSecretVersionIdsOutput](t)(c.ListSecretVersionIds(t.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: aws.String("web/A")}))
	if len(versions.Versions) != 2 {
		t.Errorf("got %+v", versions)
	}
	var missing *smtypes.ResourceNotFoundException
	if _, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("web/none")}); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	emu.MarkForDeletion(awsemu.Region, "web/A")
	var marked *smtypes.InvalidRequestException
	if _, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("web/A")}); !errors.As(err, &marked) {
		t.Errorf("got %v", err)
	}
}

func TestSDKParameterStore(t *testing.T) {
	emu, url := awsemu.Start(t)
	c := ssm.NewFromConfig(config(url, user))
	emu.PutParameter(awsemu.Region, "/web/A", "SecureString", "one")
	emu.PutParameter(awsemu.Region, "/web/A", "SecureString", "two")
	emu.PutParameter(awsemu.Region, "/web/B", "String", "plain")
	emu.LabelParameter(awsemu.Region, "/web/A", 1, "stable")

	for name, want := range map[string]string{"/web/A": "two", "/web/A:1": "one", "/web/A:stable": "one", awsemu.ParameterARN(awsemu.Region, "/web/A"): "two"} {
		got := must[*ssm.GetParameterOutput](t)(c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)}))
		if *got.Parameter.Value != want || time.Since(*got.Parameter.LastModifiedDate) > time.Hour {
			t.Errorf("%s: got %q of %v", name, *got.Parameter.Value, got.Parameter.LastModifiedDate)
		}
	}
	sealed := must[*ssm.GetParameterOutput](t)(c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/web/A")}))
	if *sealed.Parameter.Value == "two" {
		t.Error("a SecureString came decrypted without being asked for so")
	}
	many := must[*ssm.GetParametersOutput](t)(c.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/web/B", "/web/none"}}))
	if len(many.Parameters) != 1 || len(many.InvalidParameters) != 1 {
		t.Errorf("got %+v", many)
	}
	list := must[*ssm.DescribeParametersOutput](t)(c.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{
		MaxResults:       aws.Int32(1),
		ParameterFilters: []ssmtypes.ParameterStringFilter{{Key: aws.String("Name"), Option: aws.String("BeginsWith"), Values: []string{"/web"}}},
	}))
	if len(list.Parameters) != 1 || list.NextToken == nil {
		t.Errorf("got %+v", list)
	}
	history := must[*ssm.GetParameterHistoryOutput](t)(c.GetParameterHistory(t.Context(), &ssm.GetParameterHistoryInput{Name: aws.String("/web/A"), WithDecryption: aws.Bool(true)}))
	if len(history.Parameters) != 2 || *history.Parameters[0].Value != "one" || history.Parameters[0].Labels[0] != "stable" {
		t.Errorf("got %+v", history)
	}
	var missing *ssmtypes.ParameterNotFound
	if _, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/web/none")}); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	var version *ssmtypes.ParameterVersionNotFound
	if _, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/web/A:9")}); !errors.As(err, &version) {
		t.Errorf("got %v", err)
	}
}

// A role needs its external id, and its session ends.
func TestSDKAssumeRole(t *testing.T) {
	emu, url := awsemu.Start(t)
	emu.AddRole(awsemu.Role{ARN: role, ExternalID: "team-1"})
	emu.PutParameter(awsemu.Region, "A", "String", "a")
	c := sts.NewFromConfig(config(url, user))
	if _, err := c.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("xy")}); code(err) != "AccessDenied" {
		t.Errorf("without its external id: got %v", err)
	}
	out := must[*sts.AssumeRoleOutput](t)(c.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("xy"), ExternalId: aws.String("team-1")}))
	session := keys(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	read := func(who aws.CredentialsProvider) error {
		_, err := ssm.NewFromConfig(config(url, who)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("A")})
		return err
	}
	if err := read(session); err != nil {
		t.Error(err)
	}
	if err := read(keys(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, "other")); code(err) != "UnrecognizedClientException" {
		t.Errorf("with another token: got %v", err)
	}
	emu.ExpireSessions()
	if err := read(session); code(err) != "ExpiredTokenException" {
		t.Errorf("after its end: got %v", err)
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// tampered changes requests after they were signed.
type tampered func(*http.Request)

func (f tampered) Do(r *http.Request) (*http.Response, error) {
	f(r)
	return http.DefaultTransport.RoundTrip(r)
}

// Whatever of a request is changed on the way, the signature holds no more.
func TestSignaturesAreVerified(t *testing.T) {
	emu, url := awsemu.Start(t)
	emu.PutParameter(awsemu.Region, "A", "String", "a")
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	for name, tt := range map[string]struct {
		want   string
		config func(*aws.Config)
		tamper func(*http.Request)
	}{
		"nothing changed":       {want: ""},
		"another secret key":    {want: "InvalidSignatureException", config: func(c *aws.Config) { c.Credentials = keys(awsemu.AccessKey, "wrong", "") }},
		"another access key":    {want: "UnrecognizedClientException", config: func(c *aws.Config) { c.Credentials = keys("AKIDOTHER", awsemu.SecretKey, "") }},
		"another body":          {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.Body = http.NoBody; r.ContentLength = 0 }},
		"another action":        {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSSM.GetParameters") }},
		"another path":          {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.URL.Path = "/other" }},
		"another host":          {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.Host = "other.example" }},
		"another service":       {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.ListSecrets") }},
		"no signature":          {want: "MissingAuthenticationTokenException", tamper: func(r *http.Request) { r.Header.Del("Authorization") }},
		"another region in it":  {want: "InvalidSignatureException", tamper: replace("eu-west-1", "us-east-1")},
		"the time of yesterday": {want: "InvalidSignatureException", tamper: func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") }},
		"the action unsigned":   {want: "InvalidSignatureException", tamper: replace(";x-amz-target", "")},
	} {
		c := config(url, user)
		if tt.config != nil {
			tt.config(&c)
		}
		if tt.tamper != nil {
			c.HTTPClient = tampered(tt.tamper)
		}
		_, err := ssm.NewFromConfig(c).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("A")})
		if got := code(err); got != tt.want || (err == nil) != (tt.want == "") {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, tt.want)
		}
	}
	emu.SetWall(func() time.Time { return time.Now().Add(6 * time.Minute) })
	if _, err := ssm.NewFromConfig(config(url, user)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("A")}); code(err) != "InvalidSignatureException" {
		t.Errorf("with a late clock: got %v", err)
	}
}

func replace(old, with string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
	}
}

const script = `
import sys, botocore.session
s = botocore.session.Session()
kw = dict(endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3])
sm, ssm = s.create_client("secretsmanager", **kw), s.create_client("ssm", **kw)
assert sm.get_secret_value(SecretId="web/A")["SecretString"] == "two"
assert sm.get_secret_value(SecretId="web/A", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
assert sm.get_secret_value(SecretId="web/B")["SecretBinary"] == b"\x00\xff"
assert [x["Name"] for p in sm.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 1}) for x in p["SecretList"]] == ["web/B", "web/A"]
assert len(sm.list_secret_version_ids(SecretId="web/A")["Versions"]) == 2
assert ssm.get_parameter(Name="/web/A", WithDecryption=True)["Parameter"]["Value"] == "p"
assert ssm.get_parameters(Names=["/web/A", "/no"])["InvalidParameters"] == ["/no"]
assert ssm.get_parameter_history(Name="/web/A")["Parameters"][0]["Version"] == 1
assert ssm.describe_parameters()["Parameters"][0]["Name"] == "/web/A"
try:
    sm.get_secret_value(SecretId="none")
    raise SystemExit("a missing secret was found")
except sm.exceptions.ResourceNotFoundException: pass
try:
    ssm.get_parameter(Name="none")
    raise SystemExit("a missing parameter was found")
except ssm.exceptions.ParameterNotFound: pass
c = s.create_client("sts", **kw).assume_role(RoleArn=sys.argv[4], RoleSessionName="xy", ExternalId="team-1")["Credentials"]
kw.update(aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])
assert s.create_client("ssm", **kw).get_parameter(Name="/web/A")["Parameter"]["Version"] == 1
`

// So does the other client of AWS, which shares no code with the first.
func TestBotocore(t *testing.T) {
	python := awsemu.Python(t)
	emu, url := awsemu.Start(t)
	emu.AddRole(awsemu.Role{ARN: role, ExternalID: "team-1"})
	emu.PutSecret(awsemu.Region, "web/A", aws.String("one"), nil)
	emu.PutSecret(awsemu.Region, "web/A", aws.String("two"), nil)
	emu.PutSecret(awsemu.Region, "web/B", nil, []byte{0, 0xff})
	emu.PutParameter(awsemu.Region, "/web/A", "SecureString", "p")
	out, err := exec.CommandContext(t.Context(), python, "-c", script, url, awsemu.AccessKey, awsemu.SecretKey, role).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	awsemu.CheckModels(t, emu)
}

// A federated account says who its callers are, and AWS's own client understands it.
func TestSDKWebIdentity(t *testing.T) {
	emu, url := awsemu.Start(t)
	c := sts.NewFromConfig(config(url, user))
	ask := func(algorithm string) (*sts.GetWebIdentityTokenOutput, error) {
		return c.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{"https://keyhole.example"}, SigningAlgorithm: &algorithm, DurationSeconds: aws.Int32(600)})
	}
	var disabled *ststypes.OutboundWebIdentityFederationDisabledException
	if _, err := ask("ES384"); !errors.As(err, &disabled) {
		t.Errorf("without federation: got %v", err)
	}
	emu.Federate(awsemu.Federation{Issuer: "https://issuer.example", Key: oidcemu.NewKey("ES384", "k"), Role: role, Function: "arn:aws:lambda:eu-west-1:123456789012:function:f"})
	got := must[*sts.GetWebIdentityTokenOutput](t)(ask("ES384"))
	if left := time.Until(*got.Expiration); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("it ends in %v", left)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(*got.WebIdentityToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"iss":"https://issuer.example"`, `"sub":"` + role + `"`, `"aud":"https://keyhole.example"`, `"aws_account":"123456789012"`, `"lambda_source_function_arn":"arn:aws:lambda:`} {
		if !strings.Contains(string(payload), want) {
			t.Errorf("%s has no %s", payload, want)
		}
	}
	if _, err := ask("HS256"); code(err) != "ValidationError" {
		t.Errorf("got %v", err)
	}
	emu.Deny(func(call awsemu.Call) bool { return call.Action == "sts:GetWebIdentityToken" })
	if _, err := ask("ES384"); code(err) != "AccessDenied" {
		t.Errorf("got %v", err)
	}
}
