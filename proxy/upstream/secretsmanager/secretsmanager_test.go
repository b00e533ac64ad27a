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

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
)

func opened(t *testing.T) (*secretsmanager.Manager, *awsemu.Server) {
	t.Helper()
	m, emu := open(t)
	t.Cleanup(func() { _ = m.Close() })
	return m, emu
}

// actions are the calls since they were last asked for, without logins.
func actions(emu *awsemu.Server) []string {
	var out []string
	for _, c := range emu.Calls() {
		if c.Action != "sts:AssumeRole" {
			out = append(out, strings.TrimPrefix(c.Action, "secretsmanager:"))
		}
	}
	return out
}

func wantValue(t *testing.T, m *secretsmanager.Manager, name string, v secret.Version, want string) {
	t.Helper()
	s, err := m.Read(t.Context(), name, v)
	if err != nil {
		t.Errorf("%s at %s: %v", name, v, err)
		return
	}
	if got := string(s.Value.Reveal()); got != want {
		t.Errorf("%s at %s: got %q, want %q", name, v, got, want)
	}
}

// herd reads n secrets while the first read is held back, so that all others are wanted at the same time.
func herd(t *testing.T, m *secretsmanager.Manager, emu *awsemu.Server, names []string, want func(name string, s *secret.Secret, err error)) {
	t.Helper()
	came, let := make(chan struct{}), make(chan struct{})
	var first sync.Once
	emu.Interpose(func(http.ResponseWriter, *http.Request, string) bool {
		first.Do(func() { close(came); <-let })
		return false
	})
	var all sync.WaitGroup
	all.Go(func() { _, _ = m.Read(t.Context(), "first", secret.Current) })
	<-came
	for _, name := range names {
		all.Go(func() {
			s, err := m.Read(t.Context(), name, secret.Current)
			want(name, s, err)
		})
	}
	close(let)
	all.Wait()
	emu.Interpose(nil)
}

func TestMissesAtOneTimeAreFewCalls(t *testing.T) {
	m, emu := opened(t)
	var names []string
	for i := range 100 {
		name := fmt.Sprintf("web/%d", i)
		put(emu, name, []byte("value of "+name))
		names = append(names, name)
	}
	wantValue(t, m, "web/0", secret.Current, "value of web/0") // logs in
	for _, page := range []int{0, 7} {                         // an answer may hold fewer than were asked for
		emu.SetBatchPage(page)
		actions(emu)
		herd(t, m, emu, append(names, "web/none"), func(name string, s *secret.Secret, err error) {
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
		if got := actions(emu); len(got) >= len(names) {
			t.Errorf("%d misses were %d calls", len(names), len(got))
		}
	}
}

// Who may not call BatchGetSecretValue reads each by itself, and asks no more for a while.
func TestWithoutPermissionToBatch(t *testing.T) {
	m, emu := opened(t)
	for _, name := range []string{"first", "a", "b"} {
		put(emu, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Action == "secretsmanager:BatchGetSecretValue" })
	for range 2 {
		herd(t, m, emu, []string{"a", "b"}, func(name string, _ *secret.Secret, err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	got := actions(emu)
	if n := len(slices.DeleteFunc(got, func(a string) bool { return a != "BatchGetSecretValue" })); n > 1 {
		t.Errorf("it was asked for %d times", n)
	}
}

// One secret that may not be read hides no other of its batch, and is told apart from one that is not there.
func TestDeniedInABatch(t *testing.T) {
	m, emu := opened(t)
	for _, name := range []string{"first", "a", "b", "c"} {
		put(emu, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Action == "secretsmanager:GetSecretValue" && c.Resource == "b" })
	herd(t, m, emu, []string{"a", "b", "c"}, func(name string, _ *secret.Secret, err error) {
		if name == "b" != errors.Is(err, secret.ErrDenied) || name != "b" && err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	})
}

// What a batch says of one secret is held against a call for it alone: only "no such secret" is believed at once.
func TestErrorsInABatchAreAskedForAgain(t *testing.T) {
	m, emu := opened(t)
	for _, name := range []string{"first", "a", "b", "c"} {
		put(emu, name, []byte(name))
	}
	emu.Deny(func(c awsemu.Call) bool { return c.Principal == "" && c.Resource == "b" }) // in batches
	for range 3 {
		herd(t, m, emu, []string{"a", "b", "c"}, func(name string, _ *secret.Secret, err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// What the first answer of a batch told holds, though the next does not come.
func TestABatchThatFailsHalfWay(t *testing.T) {
	m, emu := opened(t)
	names := make([]string, 12)
	for i := range names {
		names[i] = fmt.Sprintf("web/%d", i)
		put(emu, names[i], []byte("x"))
	}
	put(emu, "first", []byte("x"))
	wantValue(t, m, "first", secret.Current, "x") // logs in
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
			all.Go(func() { _, errs[i] = m.Read(t.Context(), name, secret.Current) })
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
	m, emu := opened(t)
	one, two := put(emu, "web/A", []byte("one")), put(emu, "web/A", []byte("two"))
	wantValue(t, m, "web/A", "AWSPREVIOUS", "one")
	emu.LabelSecret(awsemu.Region, "web/A", string(one), "AWSCURRENT")
	emu.LabelSecret(awsemu.Region, "web/A", string(two), "AWSPENDING")
	wantValue(t, m, "web/A", secret.Current, "one")
	wantValue(t, m, "web/A", secret.Previous, "two")
	wantValue(t, m, "web/A", "AWSPENDING", "two")
	wantValue(t, m, "web/A", two, "two")
	long := strings.Repeat("blue-", 13) // too long for an id
	emu.LabelSecret(awsemu.Region, "web/A", string(one), long)
	wantValue(t, m, "web/A", secret.Version(long), "one")
	for _, none := range []secret.Version{"x", secret.Version(strings.Repeat("x", 64)), secret.Version(strings.Repeat("x", 128))} {
		if _, err := m.Read(t.Context(), "web/A", none); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("version %s: got %v", none, err)
		}
	}
	got, err := m.Versions(t.Context(), "web/A")
	if err != nil || len(got) != 2 || got[0].Version != one || got[0].State != secret.StateCurrent || got[1].State != secret.StatePrevious {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMarkedForDeletion(t *testing.T) {
	m, emu := opened(t)
	put(emu, "web/A", []byte("one"))
	emu.MarkForDeletion(awsemu.Region, "web/A")
	if _, err := m.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if items, err := m.List(t.Context(), "", "", 10); err != nil || len(items) != 0 {
		t.Errorf("listed %v, %v", items, err)
	}
}

// The region of an ARN is asked, whatever our own is.
func TestARNs(t *testing.T) {
	m, emu := opened(t)
	text := "elsewhere"
	emu.PutSecret("us-east-2", "team/shared", &text, nil)
	whole := emu.SecretARN("us-east-2", "team/shared")
	arn := whole[:len(whole)-len("-000000")]
	wantValue(t, m, arn, secret.Current, text)
	if _, err := m.Read(t.Context(), "team/shared", secret.Current); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("our own region has %v", err)
	}
	for _, c := range emu.Calls() {
		if strings.HasPrefix(c.Resource, arn) && c.Region != "us-east-2" {
			t.Errorf("%s was asked for in %s", arn, c.Region)
		}
	}
	versions, err := m.Versions(t.Context(), arn)
	if err != nil || len(versions) != 1 {
		t.Errorf("got %v, %v", versions, err)
	}
	if items, err := m.List(t.Context(), arn, "", 10); err != nil || len(items) != 1 || items[0].Name != arn || items[0].Version != versions[0].Version {
		t.Errorf("listed %v, %v", items, err)
	}
	if items, err := m.List(t.Context(), arn+"x", "", 10); err != nil || len(items) != 0 {
		t.Errorf("listed %v, %v", items, err)
	}
	actions(emu)
	for _, name := range []string{"arn:aws:ssm:eu-west-1:1:parameter/a", "arn:aws:secretsmanager:eu-west-1:1:other:a", "../a", "a b", ""} {
		if _, err := m.Read(t.Context(), name, secret.Current); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if got := actions(emu); len(got) != 0 {
		t.Errorf("names that cannot be were asked for: %q", got)
	}
}

// A complete ARN is no second name of a secret, but for where a mount stands.
func TestCompleteARNs(t *testing.T) {
	emu, url := awsemu.Start(t)
	text := "x"
	for _, name := range []string{"team/A", "team/B"} {
		emu.PutSecret(awsemu.Region, name, &text, nil)
	}
	a, b := emu.SecretARN(awsemu.Region, "team/A"), emu.SecretARN(awsemu.Region, "team/B")
	m, err := secretsmanager.New(secretsmanager.Config{Region: awsemu.Region, Endpoint: url, Credentials: user}, b)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	for _, v := range []secret.Version{secret.Current, "AWSCURRENT"} {
		if _, err := m.Read(t.Context(), a, v); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%s: got %v", v, err)
		}
		wantValue(t, m, b, v, text)
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
	m, emu := opened(t)
	for i := range 250 {
		put(emu, fmt.Sprintf("web/%03d", i), []byte("x"))
	}
	var names []string
	for after := ""; ; {
		items, err := m.List(t.Context(), "web", after, 100)
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
	if got := actions(emu); len(names) != 250 || !slices.IsSorted(names) || len(got) != 3 {
		t.Errorf("%d names in %d calls", len(names), len(got))
	}
	put(emu, "web/9", []byte("x"))
	if items, err := m.List(t.Context(), "web", "", 300); err != nil || len(items) != 251 {
		t.Errorf("then %d, %v", len(items), err)
	}
}

// What the emulator would never answer.
func TestAnswersThatMakeNoSense(t *testing.T) {
	const canary = "canary-5e11f00d"
	m, emu := opened(t)
	put(emu, "web/A", []byte("x"))
	for _, body := range []string{
		`{}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":1}`,
		`{"Name":"web/A","VersionId":"1","SecretString":["` + canary + `"]}`,
		`{"Name":"web/A","VersionId":"1","SecretBinary":"` + canary + `"}`,
		`{"Name":"web/A","VersionId":"a b","SecretString":"` + canary + `"}`,
		`{"Name":"web/A","VersionId":"current","SecretString":"` + canary + `"}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":"` + canary + `","SecretString":"x"}`,
		`{"Name":"web/A","VersionId":"1","CreatedDate":1e300,"SecretString":"x"}`,
	} {
		emu.Interpose(func(w http.ResponseWriter, _ *http.Request, action string) bool {
			if action == "sts:AssumeRole" {
				return false
			}
			_, _ = io.WriteString(w, body)
			return true
		})
		s, err := m.Read(t.Context(), "web/A", secret.Current)
		if s != nil || !errors.Is(err, awsjson.ErrMalformed) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, %v", body, s, err)
		}
	}
	large := strings.Repeat("x", secret.MaxValueBytes+1)
	emu.Interpose(nil)
	emu.PutSecret(awsemu.Region, "web/A", &large, nil)
	if _, err := m.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, secret.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestTimes(t *testing.T) {
	m, emu := opened(t)
	at := time.Date(2026, 11, 21, 10, 0, 0, 123_000_000, time.UTC)
	emu.SetWall(func() time.Time { return at })
	put(emu, "web/A", []byte("x"))
	emu.SetWall(nil)
	s, err := m.Read(t.Context(), "web/A", secret.Current)
	if err != nil || !s.CreatedAt.Equal(at) {
		t.Errorf("got %v, %v, want %v", s.CreatedAt, err, at)
	}
}
