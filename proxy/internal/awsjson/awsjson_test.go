package awsjson_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	base = "arn:aws:iam::" + awsemu.Account + ":role/base"
	team = "arn:aws:iam::" + awsemu.Account + ":role/team"
)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var user = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: awsemu.AccessKey, SecretAccessKey: awsemu.SecretKey}, nil
})

// open returns a client of Parameter Store and the emulator behind it, which has the parameter A and shares its clock.
func open(t *testing.T, change func(*awsjson.Config)) (*awsjson.Client, *awsemu.Server, *clock) {
	t.Helper()
	emu, url := awsemu.Start(t)
	at := newClock()
	emu.SetWall(at.wall)
	emu.PutParameter(awsemu.Region, "A", "String", "a")
	emu.AddRole(awsemu.Role{ARN: base, From: awsemu.AccessKey})
	emu.AddRole(awsemu.Role{ARN: team, ExternalID: "team-1", From: base})
	c := awsjson.Config{
		Service: awsjson.Service{Name: "ssm", Target: "AmazonSSM."}, Region: awsemu.Region, Endpoint: url, STSEndpoint: url,
		Credentials: user, Wall: at.wall,
	}
	if change != nil {
		change(&c)
	}
	client, err := awsjson.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, emu, at
}

func read(ctx context.Context, c *awsjson.Client) error {
	root, err := c.Call(ctx, awsjson.Request{Action: "GetParameter", Body: []byte(`{"Name":"A"}`), Most: 1 << 10})
	if err != nil {
		return err
	}
	root.Wipe()
	return nil
}

// actions are the calls since they were last asked for.
func actions(emu *awsemu.Server) string {
	var out []string
	for _, c := range emu.Calls() {
		out = append(out, c.Action)
	}
	return strings.Join(out, " ")
}

func roles(r ...awsjson.Role) func(*awsjson.Config) {
	return func(c *awsjson.Config) { c.Roles = r }
}

func TestRolesAreAssumedOneAfterAnother(t *testing.T) {
	c, emu, _ := open(t, roles(awsjson.Role{ARN: base}, awsjson.Role{ARN: team, ExternalID: "team-1"}))
	if got := actions(emu); got != "" {
		t.Errorf("New called %s", got)
	}
	for range 3 {
		if err := read(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	calls := emu.Calls()
	if len(calls) != 5 || calls[0].Principal != awsemu.AccessKey || calls[1].Principal != base || calls[4].Principal != team {
		t.Errorf("got %+v", calls)
	}
}

func TestOneLoginForAll(t *testing.T) {
	c, emu, _ := open(t, roles(awsjson.Role{ARN: base}))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := read(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(actions(emu), "AssumeRole"); n != 1 {
		t.Errorf("%d roles were assumed", n)
	}
}

// A session is renewed before its end, by the wall clock; while that fails it is used to its end.
func TestSessionsAreRenewed(t *testing.T) {
	c, emu, at := open(t, roles(awsjson.Role{ARN: base}))
	step := func(d time.Duration, want string, wantErr error) {
		t.Helper()
		at.pass(d)
		err := read(t.Context(), c)
		if got := actions(emu); got != want || !errors.Is(err, wantErr) {
			t.Errorf("after %v: called %q (%v), want %q (%v)", d, got, err, want, wantErr)
		}
	}
	step(0, "sts:AssumeRole ssm:GetParameter", nil)
	step(54*time.Minute, "ssm:GetParameter", nil)
	step(2*time.Minute, "sts:AssumeRole ssm:GetParameter", nil)
	emu.RefuseRoles(true)
	step(56*time.Minute, "sts:AssumeRole ssm:GetParameter", nil) // it lives still
	step(time.Second, "ssm:GetParameter", nil)                   // and is not asked for at each call
	step(5*time.Second, "sts:AssumeRole ssm:GetParameter", nil)
	step(5*time.Minute, "sts:AssumeRole", awsjson.ErrLogin)
	emu.RefuseRoles(false)
	step(time.Second, "sts:AssumeRole ssm:GetParameter", nil)
	step(24*time.Hour, "sts:AssumeRole ssm:GetParameter", nil) // as after a freeze
}

func TestEndedSessionsAreReplaced(t *testing.T) {
	c, emu, _ := open(t, roles(awsjson.Role{ARN: base}, awsjson.Role{ARN: team, ExternalID: "team-1"}))
	if err := read(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	emu.ExpireSessions()
	if err := read(t.Context(), c); err != nil {
		t.Errorf("after the sessions ended: %v", err)
	}
	emu.Calls()
	emu.ExpireSessions()
	emu.RefuseRoles(true)
	if err := read(t.Context(), c); !errors.Is(err, awsjson.ErrLogin) || errors.Is(err, secret.ErrDenied) {
		t.Errorf("got %v, want ErrLogin", err)
	}
}

// A refusal is believed after one new login, and refusals that follow at once cost no more.
func TestARefusalIsBelievedTheSecondTime(t *testing.T) {
	c, emu, at := open(t, roles(awsjson.Role{ARN: base}))
	if err := read(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	emu.Calls()
	emu.Deny(func(c awsemu.Call) bool { return c.Action == "ssm:GetParameter" })
	at.pass(2 * time.Minute)
	for _, want := range []string{"ssm:GetParameter sts:AssumeRole ssm:GetParameter", "ssm:GetParameter", "ssm:GetParameter"} {
		err := read(t.Context(), c)
		if got := actions(emu); got != want || !errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("called %q (%v), want %q", got, err, want)
		}
	}
}

func TestStaticCredentialsAreNotTriedTwice(t *testing.T) {
	c, emu, at := open(t, nil)
	_ = read(t.Context(), c)
	emu.Calls()
	emu.Deny(func(awsemu.Call) bool { return true })
	at.pass(time.Hour)
	if err := read(t.Context(), c); !errors.Is(err, secret.ErrDenied) || actions(emu) != "ssm:GetParameter" {
		t.Errorf("got %v", err)
	}
}

func TestRolesThatCannotBeAssumed(t *testing.T) {
	for name, r := range map[string][]awsjson.Role{
		"no such role":        {{ARN: base + "x"}},
		"no external id":      {{ARN: base}, {ARN: team}},
		"another external id": {{ARN: base}, {ARN: team, ExternalID: "team-2"}},
		"not from the user":   {{ARN: team, ExternalID: "team-1"}},
	} {
		c, _, _ := open(t, roles(r...))
		err := read(t.Context(), c)
		if !errors.Is(err, awsjson.ErrLogin) || errors.Is(err, secret.ErrDenied) || !strings.Contains(err.Error(), r[len(r)-1].ARN) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// One who leaves does not take the login away from the others.
func TestLoginOfOneWhoLeaves(t *testing.T) {
	c, emu, _ := open(t, roles(awsjson.Role{ARN: base}))
	came, gone := make(chan struct{}), make(chan struct{})
	var first sync.Once
	emu.Interpose(func(_ http.ResponseWriter, r *http.Request, action string) bool {
		waits := false
		first.Do(func() { waits = true; close(came); <-r.Context().Done(); close(gone) })
		return waits
	})
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := read(ctx, c); !errors.Is(err, context.Canceled) {
			t.Errorf("the one who left got %v", err)
		}
	})
	<-came
	all.Go(func() {
		if err := read(t.Context(), c); err != nil {
			t.Errorf("the other got %v", err)
		}
	})
	leave()
	<-gone
	all.Wait()
}

func TestClock(t *testing.T) {
	c, emu, at := open(t, roles(awsjson.Role{ARN: base}))
	if err := read(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	emu.SetWall(func() time.Time { return at.wall().Add(-20 * time.Minute) })
	err := read(t.Context(), c)
	if !errors.Is(err, awsjson.ErrClock) || errors.Is(err, awsjson.ErrLogin) || !strings.Contains(err.Error(), "by 20m") {
		t.Errorf("got %v, want ErrClock and by how much", err)
	}
}

// Errors of AWS, as each of its services and whatever stands before them writes them.
func TestErrors(t *testing.T) {
	const canary = "canary-5e11f00d"
	for _, tt := range []struct {
		status       int
		header, body string
		want         error
	}{
		{400, "", `{"__type":"ResourceNotFoundException","Message":"x"}`, secret.ErrNotFound},
		{400, "", `{"__type":"com.amazonaws.ssm#ParameterNotFound"}`, secret.ErrNotFound},
		{400, "ParameterVersionNotFound:http://internal.amazon.com/", `{"message":"x"}`, secret.ErrNotFound},
		{400, "", `{"__type":"InvalidRequestException","Message":"You can't perform this operation on the secret because it was marked for deletion."}`, secret.ErrNotFound},
		{400, "", `{"__type":"InvalidRequestException","message":"An error occurred: secret is scheduled for deletion."}`, secret.ErrNotFound},
		{400, "", `{"__type":"InvalidRequestException","message":"You tried to perform the operation on a secret that's currently marked deleted."}`, secret.ErrNotFound},
		{400, "", `{"__type":"InvalidRequestException","Message":"` + canary + `"}`, awsjson.ErrRequest},
		{400, "", `{"__type":"AccessDeniedException","Message":"` + canary + `"}`, secret.ErrDenied},
		{403, "", `{"__type":"AccessDeniedException"}`, secret.ErrDenied},
		{400, "", `{"__type":"ThrottlingException"}`, secret.ErrThrottled},
		{400, "", `{"__type":"TooManyRequestsException"}`, secret.ErrThrottled},
		{429, "", canary, secret.ErrThrottled},
		{400, "", `{"__type":"DecryptionFailure","Message":"` + canary + `"}`, secret.ErrUnreadable},
		{400, "", `{"__type":"InvalidKeyId"}`, secret.ErrUnreadable},
		{400, "", `{"__type":"ValidationException"}`, awsjson.ErrRequest},
		{400, "", `{"__type":"UnrecognizedClientException"}`, awsjson.ErrLogin},
		{400, "", `{"__type":"InvalidSignatureException"}`, awsjson.ErrLogin},
		{400, "", `{"__type":"ExpiredTokenException"}`, awsjson.ErrLogin},
		{400, "", `{"__type":"` + canary + `"}`, secret.ErrUnavailable},
		{500, "", `{"__type":"ResourceNotFoundException"}`, secret.ErrUnavailable},
		{503, "", canary, secret.ErrUnavailable},
		{404, "", `{"__type":"UnknownOperationException"}`, awsjson.ErrOperation},
		{501, "", `{"__type":"InternalFailure","message":"` + canary + `"}`, awsjson.ErrOperation},
		{404, "ResourceNotFoundException", "<html>" + canary, awsjson.ErrMalformed},
		{404, "", `{"errors":["` + canary + `"]}`, awsjson.ErrMalformed},
		{302, "", canary, secret.ErrUnavailable},
		{200, "", `["` + canary + `"]`, awsjson.ErrMalformed},
		{200, "", `{"a":"` + canary + `"`, awsjson.ErrMalformed},
		{200, "", `{"a":1,"a":"` + canary + `"}`, awsjson.ErrMalformed},
		{200, "", `{"a":"` + strings.Repeat(canary, 100) + `"}`, secret.ErrTooLarge},
		{204, "", "", awsjson.ErrMalformed},
	} {
		c, emu, _ := open(t, nil)
		emu.Interpose(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			if tt.header != "" {
				w.Header().Set("X-Amzn-Errortype", tt.header)
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
			return true
		})
		err := read(t.Context(), c)
		if !errors.Is(err, tt.want) || strings.Contains(fmt.Sprintf("%+v", err), canary) {
			t.Errorf("%d %s %.60s: got %v, want %v", tt.status, tt.header, tt.body, err, tt.want)
		}
		if want := slices.Contains([]error{secret.ErrDenied, awsjson.ErrRequest, awsjson.ErrOperation}, tt.want); awsjson.Refused(err) != want {
			t.Errorf("%d %.60s: refused is %v, want %v", tt.status, tt.body, !want, want)
		}
		for _, other := range []error{secret.ErrNotFound, secret.ErrDenied, secret.ErrUnavailable, secret.ErrThrottled, secret.ErrUnreadable} {
			if errors.Is(err, other) && !errors.Is(tt.want, other) {
				t.Errorf("%d %.60s: got %v, which is %v as well", tt.status, tt.body, err, other)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	c, _, _ := open(t, func(c *awsjson.Config) { c.Endpoint = "http://127.0.0.1:1" })
	if err := read(t.Context(), c); !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := read(t.Context(), c); !errors.Is(err, awsjson.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := awsjson.Config{Service: awsjson.Service{Name: "ssm", Target: "AmazonSSM."}, Region: "eu-west-1", Credentials: user}
	if c, err := awsjson.New(good); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	for name, change := range map[string]func(*awsjson.Config){
		"no region":       func(c *awsjson.Config) { c.Region = "" },
		"a host":          func(c *awsjson.Config) { c.Region = "eu.example.com/" },
		"no service":      func(c *awsjson.Config) { c.Service.Name = "" },
		"no credentials":  func(c *awsjson.Config) { c.Credentials = nil },
		"no URL":          func(c *awsjson.Config) { c.Endpoint = "aws.example" },
		"a user":          func(c *awsjson.Config) { c.STSEndpoint = "https://me:pw@aws.example" },
		"no certificate":  func(c *awsjson.Config) { c.CA = []byte("PEM") },
		"a role, unnamed": func(c *awsjson.Config) { c.Roles = []awsjson.Role{{ExternalID: "x"}} },
	} {
		c := good
		change(&c)
		if _, err := awsjson.New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestParseARN(t *testing.T) {
	got, ok := awsjson.ParseARN("arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/a:3")
	if want := (awsjson.ARN{Partition: "aws-us-gov", Service: "ssm", Region: "us-gov-west-1", Account: "123456789012", Resource: "parameter/a:3"}); !ok || got != want {
		t.Errorf("got %+v %t", got, ok)
	}
	for _, s := range []string{
		"", "web/a", "arn:aws:ssm:eu-west-1:1:", "arn:aws:ssm::1:parameter/a", "arn:aws:ssm:eu-west-1::parameter/a",
		"urn:aws:ssm:eu-west-1:1:a", "arn:aws:ssm:evil.example/:1:parameter/a", "arn:aws:ssm:EU:1:a",
	} {
		if got, ok := awsjson.ParseARN(s); ok {
			t.Errorf("%q is taken as %+v", s, got)
		}
	}
}
