package parameterstore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/parameterstore"
)

func opened(t *testing.T) (*parameterstore.Store, *awsemu.Server) {
	t.Helper()
	s, emu := open(t)
	t.Cleanup(func() { _ = s.Close() })
	return s, emu
}

// actions are the calls since they were last asked for, without logins.
func actions(emu *awsemu.Server) []string {
	var out []string
	for _, c := range emu.Calls() {
		if c.Action != "sts:AssumeRole" {
			out = append(out, strings.TrimPrefix(c.Action, "ssm:"))
		}
	}
	return out
}

func wantValue(t *testing.T, s *parameterstore.Store, name string, v secret.Version, want string) {
	t.Helper()
	got, err := s.Read(t.Context(), name, v)
	if err != nil {
		t.Errorf("%s at %s: %v", name, v, err)
		return
	}
	if got := string(got.Value.Reveal()); got != want {
		t.Errorf("%s at %s: got %q, want %q", name, v, got, want)
	}
}

func missing(t *testing.T, s *parameterstore.Store, name string, v secret.Version) {
	t.Helper()
	if got, err := s.Read(t.Context(), name, v); got != nil || !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("%s at %s: got %v, %v, want ErrNotFound", name, v, got, err)
	}
}

// herd reads names while a first read is held back, so that all of them are wanted at the same time.
func herd(t *testing.T, s *parameterstore.Store, emu *awsemu.Server, names []string, want func(name string, got *secret.Secret, err error)) {
	t.Helper()
	came, let := make(chan struct{}), make(chan struct{})
	var first sync.Once
	emu.Interpose(func(http.ResponseWriter, *http.Request, string) bool {
		first.Do(func() { close(came); <-let })
		return false
	})
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.Read(t.Context(), "first", secret.Current) })
	<-came
	for _, name := range names {
		all.Go(func() {
			got, err := s.Read(t.Context(), name, secret.Current)
			want(name, got, err)
		})
	}
	close(let)
	all.Wait()
	emu.Interpose(nil)
}

func TestMissesAtOneTimeAreFewCalls(t *testing.T) {
	s, emu := opened(t)
	var names []string
	for i := range 100 {
		name := fmt.Sprintf("web/%d", i)
		put(emu, name, "value of "+name)
		names = append(names, name)
	}
	wantValue(t, s, "web/0", secret.Current, "value of web/0") // logs in
	actions(emu)
	calls := len(emu.Exchanges())
	herd(t, s, emu, append(names, "web/none", "none"), func(name string, got *secret.Secret, err error) {
		switch {
		case strings.HasSuffix(name, "none"):
			if !errors.Is(err, secret.ErrNotFound) {
				t.Errorf("%s: got %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case string(got.Value.Reveal()) != "value of "+name:
			t.Errorf("%s: got %q", name, got.Value.Reveal())
		}
	})
	if calls = len(emu.Exchanges()) - calls; calls >= len(names) {
		t.Errorf("%d misses were %d calls", len(names), calls)
	}
}

// AWS refuses a GetParameters of which one name may not be read: that one alone is denied here.
func TestDeniedInABatch(t *testing.T) {
	s, emu := opened(t)
	for _, name := range []string{"first", "web/a", "web/b", "web/c"} {
		put(emu, name, name)
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Resource == "/web/b" })
	for range 3 {
		herd(t, s, emu, []string{"web/a", "web/b", "web/c"}, func(name string, _ *secret.Secret, err error) {
			if name == "web/b" != errors.Is(err, secret.ErrDenied) || name != "web/b" && err != nil {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
}

// A path is a hierarchy, which begins with a slash; a name alone is in none.
func TestNames(t *testing.T) {
	s, emu := opened(t)
	for name, kind := range map[string]string{"/web/prod/A": "SecureString", "/web/prod/B": "StringList", "PLAIN": "String", "/ODD": "String", "/a b": "String"} {
		emu.PutParameter(awsemu.Region, name, kind, "value of "+name)
	}
	wantValue(t, s, "web/prod/A", secret.Current, "value of /web/prod/A")
	wantValue(t, s, "web/prod/B", secret.Current, "value of /web/prod/B")
	wantValue(t, s, "PLAIN", secret.Current, "value of PLAIN")
	missing(t, s, "ODD", secret.Current)
	var names []string
	items, err := s.List(t.Context(), "", "", 10)
	for _, it := range items {
		names = append(names, it.Name)
	}
	if want := "[PLAIN web/prod/A web/prod/B]"; err != nil || fmt.Sprint(names) != want {
		t.Errorf("listed %v, %v, want %s: what can be read", names, err, want)
	}
	actions(emu)
	missing(t, s, strings.Repeat("a/", 15)+"a", secret.Current)
	missing(t, s, "a b", secret.Current)
	missing(t, s, "arn:aws:secretsmanager:eu-west-1:1:secret:a", secret.Current)
	if got := actions(emu); len(got) != 0 {
		t.Errorf("names that cannot be were asked for: %q", got)
	}
}

func TestVersionsAndLabels(t *testing.T) {
	s, emu := opened(t)
	for _, text := range []string{"one", "two", "three"} {
		put(emu, "web/A", text)
	}
	emu.LabelParameter(awsemu.Region, "/web/A", 1, "stable")
	wantValue(t, s, "web/A", "1", "one")
	wantValue(t, s, "web/A", secret.Previous, "two")
	wantValue(t, s, "web/A", "stable", "one")
	missing(t, s, "web/A", "unstable")
	actions(emu)
	for _, v := range []secret.Version{"0", "03", "-1", ".x", "1x", "99999999999999999999"} {
		missing(t, s, "web/A", v)
	}
	if got := actions(emu); len(got) != 0 {
		t.Errorf("versions that cannot be were asked for: %q", got)
	}
	if s.CompareVersions("9", "10") >= 0 || s.CompareVersions("3", "3") != 0 {
		t.Error("versions are not ordered by their numbers")
	}
	for range 60 {
		put(emu, "web/A", "more")
	}
	got, err := s.Versions(t.Context(), "web/A")
	if err != nil || len(got) != 63 || got[0].Version != "63" || got[1].Version != "62" || got[62].Version != "1" {
		t.Errorf("got %d versions, %v", len(got), err)
	}
}

// The region of an ARN is asked, whatever our own is. A mount at one is a hierarchy as well.
func TestARNs(t *testing.T) {
	s, emu := opened(t)
	emu.PutParameter("us-east-2", "/shared/web/A", "SecureString", "one")
	emu.PutParameter("us-east-2", "/shared/web/A", "SecureString", "two")
	arn := awsemu.ParameterARN("us-east-2", "/shared/web") + "/A"
	wantValue(t, s, arn, secret.Current, "two")
	wantValue(t, s, arn, secret.Previous, "one")
	wantValue(t, s, arn, "1", "one")
	missing(t, s, "shared/web/A", secret.Current)
	if items, err := s.List(t.Context(), arn, "", 10); err != nil || len(items) != 1 || items[0].Name != arn || items[0].Version != "2" {
		t.Errorf("listed %v, %v", items, err)
	}
}

// Through Parameter Store nothing else is read, whatever our credentials may read besides.
func TestReferencesToOtherServices(t *testing.T) {
	s, emu := opened(t)
	for _, name := range []string{"/aws/reference/secretsmanager/web/A", "/AWS/Reference/secretsmanager/A"} {
		emu.PutParameter(awsemu.Region, name, "SecureString", "of Secrets Manager")
		missing(t, s, name[1:], secret.Current)
		missing(t, s, name[1:], secret.Previous)
		missing(t, s, awsemu.ParameterARN(awsemu.Region, name), secret.Current)
		if _, err := s.Versions(t.Context(), name[1:]); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("versions of %s: %v", name, err)
		}
	}
	if got := actions(emu); len(got) != 0 {
		t.Errorf("called %q", got)
	}
	put(emu, "aws/references", "one")
	wantValue(t, s, "aws/references", secret.Current, "one")
}

// A listing asks for no values: who may list need not be allowed to read.
func TestListingReadsNothing(t *testing.T) {
	s, emu := opened(t)
	put(emu, "web/A", "x")
	if _, err := s.List(t.Context(), "web", "", 10); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(actions(emu)); got != "[DescribeParameters]" {
		t.Errorf("called %s", got)
	}
}

// What the emulator would never answer.
func TestAnswersThatMakeNoSense(t *testing.T) {
	const canary = "canary-5e11f00d"
	s, emu := opened(t)
	for _, body := range []string{
		`{}`, `{"Parameter":[]}`, `{"Parameter":{}}`,
		`{"Parameter":{"Value":"` + canary + `"}}`,
		`{"Parameter":{"Value":"` + canary + `","Version":0}}`,
		`{"Parameter":{"Value":"` + canary + `","Version":"1"}}`,
		`{"Parameter":{"Value":["` + canary + `"],"Version":1}}`,
		`{"Parameter":{"Value":"` + canary + `","Version":1,"LastModifiedDate":-1}}`,
	} {
		emu.Interpose(func(w http.ResponseWriter, _ *http.Request, action string) bool {
			if action == "sts:AssumeRole" {
				return false
			}
			_, _ = io.WriteString(w, body)
			return true
		})
		got, err := s.Read(t.Context(), "web/A", secret.Current)
		if got != nil || !errors.Is(err, awsjson.ErrMalformed) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, %v", body, got, err)
		}
	}
}
