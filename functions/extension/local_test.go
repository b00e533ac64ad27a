package main_test

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
)

// What a function needs that has never heard of Keyhole: its own vault, by its own role, at the original's addresses.
func TestSecretsOfTheFunction(t *testing.T) {
	p := setting{}.ready(t)
	// It has one before its first event: the runtime starts when the extension answers.
	p.get(t, "").want(t, "at the start", 200, `"SecretString":"first"`)
	if got := p.want(t, secretURI, 200, `"SecretString":"first"`, `"Name":"apps/DB"`).Headers.Get("X-Keyhole-Cache"); got != "hit" {
		t.Errorf("got %q, want a hit", got)
	}

	second := "second"
	id := p.aws.PutSecret(awsemu.Region, "apps/DB", &second, nil)
	p.aws.PutSecret(awsemu.Region, "apps/BYTES", nil, []byte{0xff, 0})
	p.aws.PutSecret(awsemu.Region, "apps/TEXT", nil, []byte("hello"))
	for uri, part := range map[string]string{
		"/secretsmanager/get/?secretId=apps%2FDB":                                                          `"SecretString":"first"`, // which is cached
		"/secretsmanager/get?secretId=arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/DB-a1b2c3": `"SecretString":"first"`,
		secretURI + "&versionStage=AWSPREVIOUS":                                                            `"SecretString":"first"`,
		secretURI + "&versionId=" + id:                                                                     `"SecretString":"second"`,
		"/secretsmanager/get?secretId=apps/BYTES":                                                          `"SecretBinary":"/wA="`,
		"/v1/apps/BYTES": `"SecretBinary":"/wA="`,
		"/v1/apps/TEXT":  `"SecretBinary":"aGVsbG8="`, // it is kept as bytes
		"/v1/apps%2FDB":  `"SecretString":"first"`,
		"/systemsmanager/parameters/get?name=/apps/KEY&withDecryption=true":                                        `"Value":"of all"`,
		"/systemsmanager/parameters/get/?name=%2Fapps%2FKEY&withDecryption=true":                                   `"Value":"of all"`,
		"/systemsmanager/parameters/get?name=%2Fapps%2FKEY&version=1&label=nowhere":                                `"Version":1`,
		"/systemsmanager/parameters/get?name=arn:aws:ssm:eu-west-1:123456789012:parameter/apps/KEY":                `"Value":"of all"`,
		"/systemsmanager/parameters/get?name=/aws/reference/secretsmanager/apps/DB&withDecryption=true":            `"Value":"first"`,
		"/systemsmanager/parameters/get?name=/aws/reference/secretsmanager/apps/DB:" + id + "&withDecryption=true": `"Value":"second"`,
		"/systemsmanager/parameters/get?name=/apps/KEY&withDecryption=TRUE":                                        `"Type":"SecureString"`,
		"/ping": "healthy",
	} {
		p.want(t, uri, 200, part)
	}
	for uri, want := range map[string]struct {
		status int
		body   string
	}{
		"/secretsmanager/get?secretId=apps/NONE":                                                           {400, `"__type":"ResourceNotFoundException"`},
		"/systemsmanager/parameters/get?name=/apps/NONE":                                                   {400, `"__type":"ParameterNotFound"`},
		"/secretsmanager/get?secretId=arn:aws:secretsmanager:eu-west-1:210987654321:secret:apps/DB-a1b2c3": {400, `"__type":"ResourceNotFoundException"`}, // of another account
		"/secretsmanager/get?secretId=arn:aws:secretsmanager:us-east-1:123456789012:secret:apps/DB-a1b2c3": {400, `"__type":"ResourceNotFoundException"`}, // and region
		"/systemsmanager/parameters/get?name=arn:aws:ssm:eu-west-1:210987654321:parameter/apps/KEY":        {400, `"__type":"ParameterNotFound"`},
		"/systemsmanager/parameters/get?name=arn:aws:ssm:us-east-1:123456789012:parameter/apps/KEY":        {400, `"__type":"ParameterNotFound"`},
		"/systemsmanager/parameters/get?name=/apps/DB":                                                     {400, `"__type":"ParameterNotFound"`}, // each service has names of its own
		"/systemsmanager/parameters/get?name=/aws/reference/secretsmanager/apps/DB":                        {400, "withDecryption"},
		"/secretsmanager/get":                     {400, "missing parameter secretId"},
		"/secretsmanager/get?secretId=a&region=x": {400, "unknown parameter: region"},
		secretURI + "&refreshNow=maybe":           {400, "invalid refreshNow value"},
		"/nowhere":                                {404, "Not found"},
	} {
		p.want(t, uri, want.status, want.body)
	}
	p.want(t, secretURI+"&refreshNow=true", 200, `"SecretString":"second"`)
	p.want(t, secretURI, 200, `"SecretString":"second"`)

	x := p.Extensions()[0]
	// What the product promises of its memory, in KiB.
	if rss := x.MaxRSS(); rss == 0 || rss > 25<<10 {
		t.Errorf("%d KiB of memory, want at most 25 MiB", rss)
	} else {
		t.Logf("%d KiB of memory", rss)
	}
	p.Shutdown()
	if code := x.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{`"trust":"function"`, `"sub":"keyhole"`, `"surface":"aws"`, `"path":"secretsmanager/apps/DB"`, `"path":"parameterstore/apps/KEY"`, `"kind":"seal"`} {
		if !strings.Contains(x.Stdout(), want) {
			t.Errorf("the audit log has no %s:\n%s", want, x.Stdout())
		}
	}
	for _, value := range []string{"first", second, "of all"} {
		if strings.Contains(x.Stdout()+p.Log(), value) {
			t.Errorf("%q is in a log", value)
		}
	}
	verify(t, x.Stdout())
}

// Large secrets take no more of the function's memory than small ones: the oldest make room.
func TestMemoryForLargeSecrets(t *testing.T) {
	p := setting{}.ready(t)
	large := strings.Repeat("x", 64<<10)
	for i := range 500 {
		name := "large/" + strconv.Itoa(i)
		p.aws.PutSecret(awsemu.Region, name, &large, nil)
		if a := p.get(t, "/secretsmanager/get?secretId="+name); a.Status != 200 || !strings.Contains(a.Body, large) {
			t.Fatalf("got %d %.100s", a.Status, a.Body)
		}
	}
	// Kept all of them would be 32 MiB, and as much again until garbage is collected; the 8 MiB that are kept, 16.
	if rss := p.Extensions()[0].MaxRSS(); rss == 0 || rss > 30<<10 {
		t.Errorf("%d KiB of memory", rss)
	} else {
		t.Logf("%d KiB of memory", rss)
	}
}

// verify holds a log against the key that it tells itself.
func verify(t *testing.T, log string) {
	t.Helper()
	first, _, _ := strings.Cut(log, "\n")
	var birth struct {
		Kind      string
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal([]byte(first), &birth); err != nil || birth.Kind != "birth" {
		t.Fatalf("got %s, %v", first, err)
	}
	key, err := hex.DecodeString(birth.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify([]audit.Source{{Name: "stdout", Reader: strings.NewReader(log)}}, audit.VerifyOptions{PublicKey: key})
	if err != nil || !r.Sealed || r.Tail != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// Who has no part in the function's environment gets nothing, and neither does what others make a program of the function
// send.
func TestWhoIsRefused(t *testing.T) {
	p := setting{env: []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN=another-token-of-the-function"}}.ready(t)
	for name, row := range map[string]struct {
		status  int
		body    string
		headers []string
	}{
		"no token":            {401, "UnrecognizedClientException", []string{tokenHeader, ""}},
		"an empty token":      {401, "UnrecognizedClientException", []string{tokenHeader, " "}},
		"another token":       {401, "UnrecognizedClientException", []string{tokenHeader, "session+token/0=="}},
		"most of the token":   {401, "UnrecognizedClientException", []string{tokenHeader, "${AWS_SESSION_TOKEN}="}},
		"the second variable": {401, "UnrecognizedClientException", []string{tokenHeader, "${AWS_CONTAINER_AUTHORIZATION_TOKEN}"}},
		"the secret key":      {401, "UnrecognizedClientException", []string{tokenHeader, "${AWS_SECRET_ACCESS_KEY}"}},
		"two tokens":          {400, "more than one token", []string{"X-Vault-Token", "${AWS_SESSION_TOKEN}"}},
		"a proxy":             {400, "Forwarded", []string{"X-Forwarded-For", "127.0.0.1"}},
		"another proxy":       {400, "Forwarded", []string{"Forwarded", "for=127.0.0.1"}},
		"a third proxy":       {400, "Forwarded", []string{"Via", "1.1 proxy"}},
		"a page":              {400, "AccessDeniedException", []string{"Origin", "http://localhost"}},
		"a browser":           {400, "AccessDeniedException", []string{"Sec-Fetch-Site", "none"}},
		"another name":        {400, "AccessDeniedException", []string{"Host", "rebound.example"}},
	} {
		p.get(t, secretURI, row.headers...).want(t, name, row.status, row.body)
	}
	p.get(t, secretURI, tokenHeader, "", "X-Vault-Token", "${AWS_SESSION_TOKEN}").want(t, "the agent's header", 200, "first")
	p.get(t, secretURI, "Sec-Fetch-Mode", "cors").want(t, "the fetch of Node.js", 200, "first")
	p.get(t, secretURI, "Host", "localhost").want(t, "localhost", 200, "first")
}

// Emulators give sessions short tokens, and Lambda may: how hard a token is to guess is the affair of who made it.
func TestShortToken(t *testing.T) {
	p := setting{env: []string{"AWS_SESSION_TOKEN=t", "AWS_ACCESS_KEY_ID=" + awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY=" + awsemu.SecretKey}}.ready(t)
	p.get(t, "/ping", tokenHeader, "").want(t, "ping", 200, "healthy")
	p.get(t, secretURI, tokenHeader, "u").want(t, "another", 401)
	p.get(t, secretURI).want(t, "its own", 502) // AWS does not take it
}

// Under SnapStart the function has no session token but one for the endpoint of its credentials.
func TestTokenUnderSnapStart(t *testing.T) {
	p := setting{env: []string{"AWS_SESSION_TOKEN=", "AWS_CONTAINER_AUTHORIZATION_TOKEN=a-token-of-the-function", "AWS_ACCESS_KEY_ID=" + awsemu.AccessKey, "AWS_SECRET_ACCESS_KEY=" + awsemu.SecretKey}}.ready(t)
	p.get(t, secretURI, tokenHeader, "${AWS_CONTAINER_AUTHORIZATION_TOKEN}").want(t, "its token", 200, "first")
	p.get(t, secretURI, tokenHeader, "").want(t, "none", 401)
}

// What is named is there before the function starts, where the vault is; where it is not the function starts all the same.
func TestSecretsReadAhead(t *testing.T) {
	p := setting{env: []string{"KEYHOLE_PREFETCH=secretsmanager/apps/DB,secretsmanager/apps/NONE,parameterstore/apps/KEY"}}.ready(t)
	if got := p.get(t, "").Headers.Get("X-Keyhole-Cache"); got != "hit" {
		t.Errorf("got %q, want a hit", got)
	}
	if got := p.want(t, "/systemsmanager/parameters/get?name=/apps/KEY", 200, "of all").Headers.Get("X-Keyhole-Cache"); got != "hit" {
		t.Errorf("got %q, want a hit", got)
	}
}

// A value that the original would not keep is not kept.
func TestNothingIsKept(t *testing.T) {
	for name, env := range map[string]string{
		"TTL":     "SECRETS_MANAGER_TTL=0",
		"size":    "PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE=0",
		"enabled": "PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED=False",
	} {
		t.Run(name, func(t *testing.T) {
			p := setting{env: []string{env}}.ready(t)
			for _, value := range []string{"second", "third"} {
				p.aws.PutSecret(awsemu.Region, "apps/DB", &value, nil)
				p.want(t, secretURI, 200, `"SecretString":"`+value+`"`)
			}
			p.aws.PutParameter(awsemu.Region, "/apps/KEY", "String", "new")
			const uri = "/systemsmanager/parameters/get?name=/apps/KEY"
			p.want(t, uri, 200, `"Value":"new"`)
			p.aws.PutParameter(awsemu.Region, "/apps/KEY", "String", "newer")
			want := "newer"
			if name == "TTL" {
				want = "new" // that of the other service
			}
			p.want(t, uri, 200, `"Value":"`+want+`"`)
		})
	}
}
