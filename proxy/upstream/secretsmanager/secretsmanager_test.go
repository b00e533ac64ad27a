package secretsmanager_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
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
	for _, page := range []int{0, 7} {                          // an answer may hold fewer than were asked for
		emu.SetBatchPage(page)
		emu.Actions()
		emu.Herd(t, append(names, "web/none"), func(name string, s *secret.Secret, err error) {
			switch {
			case name == "web/none":
				if !errors.Is(err, secret.ErrNotFound) {
					t.Errorf("%s: got %v", name, err)
				}
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case string(s.Value.Reveal()) != "value of "+name:
				t.Errorf("%s: got %q", name, s.Value.Reveal())
			}
		})
		if got := emu.Actions(); len(got) >= len(names) {
			t.Errorf("%d misses were %d calls", len(names), len(got))
		}
	}
}

// Who may not call BatchGetSecretValue reads each by itself, and asks no more for a while.
func TestWithoutPermissionToBatch(t *testing.T) {
	emu := open(t)
	for _, name := range []string{"first", "a", "b"} {
		put(emu.Server, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Action == "secretsmanager:BatchGetSecretValue" })
	for range 2 {
		emu.Herd(t, []string{"a", "b"}, func(name string, _ *secret.Secret, err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	got := emu.Actions()
	if n := len(slices.DeleteFunc(got, func(a string) bool { return a != "BatchGetSecretValue" })); n > 1 {
		t.Errorf("it was asked for %d times", n)
	}
}

// One secret that may not be read hides no other of its batch, and is told apart from one that is not there.
func TestDeniedInABatch(t *testing.T) {
	emu := open(t)
	for _, name := range []string{"first", "a", "b", "c"} {
		put(emu.Server, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Action == "secretsmanager:GetSecretValue" && c.Resource == "b" })
	emu.Herd(t, []string{"a", "b", "c"}, func(name string, _ *secret.Secret, err error) {
		if name == "b" != errors.Is(err, secret.ErrDenied) || name != "b" && err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	})
}

// What a batch says of one secret is held against a call for it alone: only "no such secret" is believed at once.
func TestErrorsInABatchAreAskedForAgain(t *testing.T) {
	emu := open(t)
	for _, name := range []string{"first", "a", "b", "c"} {
		put(emu.Server, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Principal == "" && c.Resource == "b" }) // in batches
	for range 3 {
		emu.Herd(t, []string{"a", "b", "c"}, func(name string, _ *secret.Secret, err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// What the first answer of a batch told holds, though the next does not come.
func TestABatchThatFailsHalfWay(t *testing.T) {
	emu := open(t)
	names := make([]string, 12)
	for i := range names {
		names[i] = fmt.Sprintf("web/%d", i)
		put(emu.Server, names[i], []byte("x"))
	}
	put(emu.Server, "first", []byte("x"))
	emu.WantValue(t, "first", secret.Current, "x") // logs in
	emu.SetBatchPage(2)
	var mu sync.Mutex
	told := map[string]bool{} // by the first of several answers
	emu.Interpose(func(w http.ResponseWriter, r *http.Request, action string) bool {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in struct {
			SecretIdList []string
			NextToken    string
		}
		if err != nil || action != "secretsmanager:BatchGetSecretValue" || json.Unmarshal(body, &in) != nil {
			return false
		}
		if in.NextToken != "" {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		for _, name := range in.SecretIdList[:2] {
			told[name] = told[name] || len(in.SecretIdList) > 2
		}
		return false
	})
	for more := true; more; {
		var all sync.WaitGroup
		errs := make([]error, len(names))
		for i, name := range names {
			all.Go(func() { _, errs[i] = emu.Upstream.Read(t.Context(), name, secret.Current) })
		}
		all.Wait()
		for i, name := range names {
			if told[name] && errs[i] != nil {
				t.Errorf("%s was told: got %v", name, errs[i])
			} else if errs[i] != nil && !errors.Is(errs[i], secret.ErrUnavailable) {
				t.Errorf("%s: got %v", name, errs[i])
			}
			more = more && !told[name]
		}
		clear(told)
	}
}

// Current is what the label says, whichever version was written last.
func TestLabels(t *testing.T) {
	emu := open(t)
	one, two := put(emu.Server, "web/A", []byte("one")), put(emu.Server, "web/A", []byte("two"))
	emu.WantValue(t, "web/A", "AWSPREVIOUS", "one")
	emu.LabelSecret(awsemu.Region, "web/A", string(one), "AWSCURRENT")
	emu.LabelSecret(awsemu.Region, "web/A", string(two), "AWSPENDING")
	emu.WantValue(t, "web/A", secret.Current, "one")
	emu.WantValue(t, "web/A", secret.Previous, "two")
	emu.WantValue(t, "web/A", "AWSPENDING", "two")
	emu.WantValue(t, "web/A", two, "two")
	long := strings.Repeat("blue-", 13) // too long for an id
	emu.LabelSecret(awsemu.Region, "web/A", string(one), long)
	emu.WantValue(t, "web/A", secret.Version(long), "one")
	for _, none := range []secret.Version{"x", secret.Version(strings.Repeat("x", 64)), secret.Version(strings.Repeat("x", 128))} {
		if _, err := emu.Upstream.Read(t.Context(), "web/A", none); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("version %s: got %v", none, err)
		}
	}
	got, err := emu.Upstream.Versions(t.Context(), "web/A")
	if err != nil || len(got) != 2 || got[0].Version != one || got[0].State != secret.StateCurrent || got[1].State != secret.StatePrevious {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMarkedForDeletion(t *testing.T) {
	emu := open(t)
	put(emu.Server, "web/A", []byte("one"))
	emu.MarkForDeletion(awsemu.Region, "web/A")
	if _, err := emu.Upstream.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if items, err := emu.Upstream.List(t.Context(), "", "", 10); err != nil || len(items) != 0 {
		t.Errorf("listed %v, %v", items, err)
	}
}

// The region of an ARN is asked, whatever our own is.
func TestARNs(t *testing.T) {
	emu := open(t)
	text := "elsewhere"
	emu.PutSecret("us-east-2", "team/shared", &text, nil)
	whole := emu.SecretARN("us-east-2", "team/shared")
	arn := whole[:len(whole)-len("-000000")]
	emu.WantValue(t, arn, secret.Current, text)
	if _, err := emu.Upstream.Read(t.Context(), "team/shared", secret.Current); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("our own region has %v", err)
	}
	for _, c := range emu.Calls() {
		if strings.HasPrefix(c.Resource, arn) && c.Region != "us-east-2" {
			t.Errorf("%s was asked for in %s", arn, c.Region)
		}
	}
	versions, err := emu.Upstream.Versions(t.Context(), arn)
	if err != nil || len(versions) != 1 {
		t.Errorf("got %v, %v", versions, err)
	}
	if items, err := emu.Upstream.List(t.Context(), arn, "", 10); err != nil || len(items) != 1 || items[0].Name != arn || items[0].Version != versions[0].Version {
		t.Errorf("listed %v, %v", items, err)
	}
	if items, err := emu.Upstream.List(t.Context(), arn+"x", "", 10); err != nil || len(items) != 0 {
		t.Errorf("listed %v, %v", items, err)
	}
	emu.Actions()
	for _, name := range []string{"arn:aws:ssm:eu-west-1:1:parameter/a", "arn:aws:secretsmanager:eu-west-1:1:other:a", "../a", "a b", ""} {
		if _, err := emu.Upstream.Read(t.Context(), name, secret.Current); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if got := emu.Actions(); len(got) != 0 {
		t.Errorf("names that cannot be were asked for: %q", got)
	}
}

// A complete ARN is no second name of a secret, but for where a mount stands.
func TestCompleteARNs(t *testing.T) {
	server, url := awsemu.Start(t)
	for _, name := range []string{"team/A", "team/B"} {
		put(server, name, []byte("x"))
	}
	a, b := server.SecretARN(awsemu.Region, "team/A"), server.SecretARN(awsemu.Region, "team/B")
	m, err := secretsmanager.New(secretsmanager.Config{Region: awsemu.Region, Endpoint: url, Credentials: awsemu.User()}, b)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	emu := awsemu.Driven[*secretsmanager.Manager]{Server: server, Upstream: m}
	for _, v := range []secret.Version{secret.Current, "AWSCURRENT"} {
		emu.WantMissing(t, a, v)
		emu.WantValue(t, b, v, "x")
	}
	if _, err := m.Versions(t.Context(), a); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("versions: got %v", err)
	}
	if _, err := m.Versions(t.Context(), b); err != nil {
		t.Errorf("versions where a mount stands: %v", err)
	}
}

// Pages of one listing come from one moment, and the next listing sees what is new.
func TestPagesOfAListing(t *testing.T) {
	emu := open(t)
	for i := range 250 {
		put(emu.Server, fmt.Sprintf("web/%03d", i), []byte("x"))
	}
	var names []string
	for after := ""; ; {
		items, err := emu.Upstream.List(t.Context(), "web", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			names = append(names, it.Name)
			after = it.Name
		}
		if len(items) < 100 {
			break
		}
	}
	if got := emu.Actions(); len(names) != 250 || !slices.IsSorted(names) || len(got) != 3 {
		t.Errorf("%d names in %d calls", len(names), len(got))
	}
	put(emu.Server, "web/9", []byte("x"))
	if items, err := emu.Upstream.List(t.Context(), "web", "", 300); err != nil || len(items) != 251 {
		t.Errorf("then %d, %v", len(items), err)
	}
}

// What the emulator would never answer.
func TestAnswersThatMakeNoSense(t *testing.T) {
	const canary = "canary-5e11f00d"
	emu := open(t)
	put(emu.Server, "web/A", []byte("x"))
	emu.WantMalformed(t, "web/A", canary,
		`{}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":1}`,
		`{"Name":"web/A","VersionId":"1","SecretString":["`+canary+`"]}`,
		`{"Name":"web/A","VersionId":"1","SecretBinary":"`+canary+`"}`,
		`{"Name":"web/A","VersionId":"a b","SecretString":"`+canary+`"}`,
		`{"Name":"web/A","VersionId":"current","SecretString":"`+canary+`"}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":"`+canary+`","SecretString":"x"}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":1e300,"SecretString":"x"}`,
	)
	large := strings.Repeat("x", secret.MaxValueBytes+1)
	emu.Interpose(nil)
	emu.PutSecret(awsemu.Region, "web/A", &large, nil)
	if _, err := emu.Upstream.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, secret.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestTimes(t *testing.T) {
	emu := open(t)
	at := time.Date(2026, 11, 21, 10, 0, 0, 123_000_000, time.UTC)
	emu.SetWall(func() time.Time { return at })
	put(emu.Server, "web/A", []byte("x"))
	emu.SetWall(nil)
	s, err := emu.Upstream.Read(t.Context(), "web/A", secret.Current)
	if err != nil || !s.CreatedAt.Equal(at) {
		t.Errorf("got %v, %v, want %v", s.CreatedAt, err, at)
	}
}
