package parameterstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMissesAtOneTimeAreFewCalls(t *testing.T) {
	emu := open(t)
	var names []string
	for i := range 100 {
		name := fmt.Sprintf("web/%d", i)
		put(emu.Server, name, []byte("value of "+name))
		names = append(names, name)
	}
	emu.WantValue(t, "web/0", secret.Current, "value of web/0") // logs in
	emu.Actions()
	calls := len(emu.Exchanges())
	emu.Herd(t, append(names, "web/none", "none"), func(name string, got *secret.Secret, err error) {
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
	emu := open(t)
	for _, name := range []string{"first", "web/a", "web/b", "web/c"} {
		put(emu.Server, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Resource == "/web/b" })
	for range 3 {
		emu.Herd(t, []string{"web/a", "web/b", "web/c"}, func(name string, _ *secret.Secret, err error) {
			if name == "web/b" != errors.Is(err, secret.ErrDenied) || name != "web/b" && err != nil {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
}

// A path is a hierarchy, which begins with a slash; a name alone is in none.
func TestNames(t *testing.T) {
	emu := open(t)
	for name, kind := range map[string]string{"/web/prod/A": "SecureString", "/web/prod/B": "StringList", "PLAIN": "String", "/ODD": "String", "/a b": "String"} {
		emu.PutParameter(awsemu.Region, name, kind, "value of "+name)
	}
	emu.WantValue(t, "web/prod/A", secret.Current, "value of /web/prod/A")
	emu.WantValue(t, "web/prod/B", secret.Current, "value of /web/prod/B")
	emu.WantValue(t, "PLAIN", secret.Current, "value of PLAIN")
	emu.WantMissing(t, "ODD", secret.Current)
	var names []string
	items, err := emu.Upstream.List(t.Context(), "", "", 10)
	for _, it := range items {
		names = append(names, it.Name)
	}
	if want := "[PLAIN web/prod/A web/prod/B]"; err != nil || fmt.Sprint(names) != want {
		t.Errorf("listed %v, %v, want %s: what can be read", names, err, want)
	}
	emu.Actions()
	emu.WantMissing(t, strings.Repeat("a/", 15)+"a", secret.Current)
	emu.WantMissing(t, "a b", secret.Current)
	emu.WantMissing(t, "arn:aws:secretsmanager:eu-west-1:1:secret:a", secret.Current)
	if got := emu.Actions(); len(got) != 0 {
		t.Errorf("names that cannot be were asked for: %q", got)
	}
}

func TestVersionsAndLabels(t *testing.T) {
	emu := open(t)
	for _, text := range []string{"one", "two", "three"} {
		put(emu.Server, "web/A", []byte(text))
	}
	emu.LabelParameter(awsemu.Region, "/web/A", 1, "stable")
	emu.WantValue(t, "web/A", "1", "one")
	emu.WantValue(t, "web/A", secret.Previous, "two")
	emu.WantValue(t, "web/A", "stable", "one")
	emu.WantMissing(t, "web/A", "unstable")
	emu.Actions()
	for _, v := range []secret.Version{"0", "03", "-1", ".x", "1x", "99999999999999999999"} {
		emu.WantMissing(t, "web/A", v)
	}
	if got := emu.Actions(); len(got) != 0 {
		t.Errorf("versions that cannot be were asked for: %q", got)
	}
	if emu.Upstream.CompareVersions("9", "10") >= 0 || emu.Upstream.CompareVersions("3", "3") != 0 {
		t.Error("versions are not ordered by their numbers")
	}
	for range 60 {
		put(emu.Server, "web/A", []byte("more"))
	}
	got, err := emu.Upstream.Versions(t.Context(), "web/A")
	if err != nil || len(got) != 63 || got[0].Version != "63" || got[1].Version != "62" || got[62].Version != "1" {
		t.Errorf("got %d versions, %v", len(got), err)
	}
}

// The region of an ARN is asked, whatever our own is. A mount at one is a hierarchy as well.
func TestARNs(t *testing.T) {
	emu := open(t)
	emu.PutParameter("us-east-2", "/shared/web/A", "SecureString", "one")
	emu.PutParameter("us-east-2", "/shared/web/A", "SecureString", "two")
	arn := awsemu.ParameterARN("us-east-2", "/shared/web") + "/A"
	emu.WantValue(t, arn, secret.Current, "two")
	emu.WantValue(t, arn, secret.Previous, "one")
	emu.WantValue(t, arn, "1", "one")
	emu.WantMissing(t, "shared/web/A", secret.Current)
	if items, err := emu.Upstream.List(t.Context(), arn, "", 10); err != nil || len(items) != 1 || items[0].Name != arn || items[0].Version != "2" {
		t.Errorf("listed %v, %v", items, err)
	}
}

// Through Parameter Store nothing else is read, whatever our credentials may read besides.
func TestReferencesToOtherServices(t *testing.T) {
	emu := open(t)
	for _, name := range []string{"/aws/reference/secretsmanager/web/A", "/AWS/Reference/secretsmanager/A"} {
		emu.PutParameter(awsemu.Region, name, "SecureString", "of Secrets Manager")
		emu.WantMissing(t, name[1:], secret.Current)
		emu.WantMissing(t, name[1:], secret.Previous)
		emu.WantMissing(t, awsemu.ParameterARN(awsemu.Region, name), secret.Current)
		if _, err := emu.Upstream.Versions(t.Context(), name[1:]); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("versions of %s: %v", name, err)
		}
	}
	if got := emu.Actions(); len(got) != 0 {
		t.Errorf("called %q", got)
	}
	put(emu.Server, "aws/references", []byte("one"))
	emu.WantValue(t, "aws/references", secret.Current, "one")
}

// A place in another service is found before anything is asked.
func TestCheckupOfAnotherService(t *testing.T) {
	emu := open(t)
	got := emu.Upstream.Checkup(t.Context(), []secret.Place{{At: "web"}, {At: "arn:aws:secretsmanager:eu-west-1:1:secret:x"}})
	if len(got.Troubles) != 1 || got.Troubles[0].Where != "type" || !strings.Contains(got.Troubles[0].What, "is of the service secretsmanager, not ssm") {
		t.Errorf("got %+v", got)
	}
	if calls := emu.Calls(); len(calls) != 0 {
		t.Errorf("called %v", calls)
	}
}

// Two mounts at one place are one question, whatever lies there.
func TestCheckupAsksOnceForAPlace(t *testing.T) {
	emu := open(t)
	put(emu.Server, "web/A", []byte("x"))
	one := emu.Upstream.Checkup(t.Context(), []secret.Place{{At: "web/A"}})
	n := len(emu.Actions())
	two := emu.Upstream.Checkup(t.Context(), []secret.Place{{At: "web/A"}, {At: "web/A", Itself: true}})
	if got := len(emu.Actions()); len(one.Troubles) != 0 || n == 0 || got != n || !slices.Equal(one.Good, two.Good) {
		t.Errorf("%d calls for one, %d for two: %+v, %+v", n, got, one, two)
	}
}

// A listing asks for no values: who may list need not be allowed to read.
func TestListingReadsNothing(t *testing.T) {
	emu := open(t)
	put(emu.Server, "web/A", []byte("x"))
	if _, err := emu.Upstream.List(t.Context(), "web", "", 10); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(emu.Actions()); got != "[DescribeParameters]" {
		t.Errorf("called %s", got)
	}
}

// What the emulator would never answer.
func TestAnswersThatMakeNoSense(t *testing.T) {
	const canary = "canary-5e11f00d"
	emu := open(t)
	emu.WantMalformed(t, "web/A", canary,
		`{}`, `{"Parameter":[]}`, `{"Parameter":{}}`,
		`{"Parameter":{"Value":"`+canary+`"}}`,
		`{"Parameter":{"Value":"`+canary+`","Version":0}}`,
		`{"Parameter":{"Value":"`+canary+`","Version":"1"}}`,
		`{"Parameter":{"Value":["`+canary+`"],"Version":1}}`,
		`{"Parameter":{"Value":"`+canary+`","Version":1,"LastModifiedDate":-1}}`,
	)
}
