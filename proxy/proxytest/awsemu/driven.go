package awsemu

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

// Reader is the role that the upstreams of Open read as.
const Reader = "arn:aws:iam::" + Account + ":role/reader"

// User gives the credentials that every emulator knows.
func User() awsjson.Provider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, nil
	})
}

// Driven is an upstream and the emulator behind it.
type Driven[U secret.Upstream] struct {
	*Server
	Upstream U
}

// Open opens an upstream that assumes Reader with an external id. It is closed when t ends.
func Open[U secret.Upstream](t testing.TB, open func(awsjson.Config) (U, error)) Driven[U] {
	t.Helper()
	emu, url := Start(t)
	emu.AddRole(Role{ARN: Reader, ExternalID: "suite"})
	u, err := open(awsjson.Config{
		Region: Region, Endpoint: url, STSEndpoint: url, Credentials: User(),
		Roles: []awsjson.Role{{ARN: Reader, ExternalID: "suite", Key: "role_arn"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return Driven[U]{emu, u}
}

// Conform runs the conformance suite, and has all that was said checked against AWS's models. h lacks what an emulator
// brings: Open, Put and Fault.
func Conform[U secret.Upstream](t *testing.T, h upstreamtest.Harness, open func(awsjson.Config) (U, error), put func(s *Server, name string, value []byte) secret.Version) {
	t.Helper()
	var servers []*Server
	now := func() *Server { return servers[len(servers)-1] }
	h.Open = func(t *testing.T) secret.Upstream {
		d := Open(t, open)
		servers = append(servers, d.Server)
		return d.Upstream
	}
	h.Put = func(_ *testing.T, name string, s *secret.Secret) secret.Version {
		return put(now(), name, append([]byte(nil), s.Value.Reveal()...))
	}
	h.Fault = func(t *testing.T, f upstreamtest.Fault) { now().Fault(t, f) }
	upstreamtest.Run(t, h)
	t.Run("Models", func(t *testing.T) { CheckModels(t, servers...) })
}

// Actions are the calls since they were last asked for, without logins, as the service names them.
func (s *Server) Actions() []string {
	var out []string
	for _, c := range s.Calls() {
		if !isLogin(c.Action) {
			_, name, _ := strings.Cut(c.Action, ":")
			out = append(out, name)
		}
	}
	return out
}

// WantValue reads a version and holds its value against want.
func (d Driven[U]) WantValue(t *testing.T, name string, v secret.Version, want string) {
	t.Helper()
	s, err := d.Upstream.Read(t.Context(), name, v)
	if err != nil {
		t.Errorf("%s at %s: %v", name, v, err)
		return
	}
	if got := string(s.Value.Reveal()); got != want {
		t.Errorf("%s at %s: got %q, want %q", name, v, got, want)
	}
}

// WantMissing reads what must not be there.
func (d Driven[U]) WantMissing(t *testing.T, name string, v secret.Version) {
	t.Helper()
	if got, err := d.Upstream.Read(t.Context(), name, v); got != nil || !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("%q at %s: got %v, %v, want ErrNotFound", name, v, got, err)
	}
}

// WantMalformed has a read answered with each of the bodies, of which none makes sense. No error may quote canary.
func (d Driven[U]) WantMalformed(t *testing.T, name, canary string, bodies ...string) {
	t.Helper()
	defer d.Interpose(nil)
	for _, body := range bodies {
		d.Interpose(func(w http.ResponseWriter, _ *http.Request, action string) bool {
			if isLogin(action) {
				return false
			}
			_, _ = io.WriteString(w, body)
			return true
		})
		s, err := d.Upstream.Read(t.Context(), name, secret.Current)
		if s != nil || !errors.Is(err, awsjson.ErrMalformed) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, %v", body, s, err)
		}
	}
}

// Herd reads names while a read of "first" is held back, so that all of them are wanted at the same time.
func (d Driven[U]) Herd(t *testing.T, names []string, want func(name string, s *secret.Secret, err error)) {
	t.Helper()
	came, let := make(chan struct{}), make(chan struct{})
	var first sync.Once
	d.Interpose(func(http.ResponseWriter, *http.Request, string) bool {
		first.Do(func() { close(came); <-let })
		return false
	})
	var all sync.WaitGroup
	all.Go(func() { _, _ = d.Upstream.Read(t.Context(), "first", secret.Current) })
	<-came
	for _, name := range names {
		all.Go(func() {
			s, err := d.Upstream.Read(t.Context(), name, secret.Current)
			want(name, s, err)
		})
	}
	close(let)
	all.Wait()
	d.Interpose(nil)
}
