package awsjson_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Where AWS takes no credentials, new ones are not got for each call.
func TestLoginsInVain(t *testing.T) {
	c, emu, at := open(t, roles(awsjson.Role{ARN: base}))
	emu.Interpose(func(w http.ResponseWriter, _ *http.Request, action string) bool {
		if action == "sts:AssumeRole" {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"UnrecognizedClientException"}`)
		return true
	})
	for _, want := range []string{"sts:AssumeRole sts:AssumeRole", "", ""} {
		if err := read(t.Context(), c); !errors.Is(err, awsjson.ErrLogin) {
			t.Errorf("got %v", err)
		}
		if got := actions(emu); got != want {
			t.Errorf("called %q, want %q", got, want)
		}
	}
	emu.Interpose(nil)
	if err := read(t.Context(), c); err != nil {
		t.Errorf("when they are taken again: %v", err)
	}
	actions(emu)
	emu.ExpireSessions()
	at.pass(time.Minute)
	if err := read(t.Context(), c); err != nil || actions(emu) != "sts:AssumeRole ssm:GetParameter" {
		t.Errorf("after a minute: %v", err)
	}
}

// source gives credentials that end after life, and counts how often it is asked.
type source struct {
	wall  func() time.Time
	life  time.Duration
	takes chan struct{} // nil: no time
	asked atomic.Int32
}

func (s *source) Retrieve(context.Context) (aws.Credentials, error) {
	s.asked.Add(1)
	if s.takes != nil {
		<-s.takes
	}
	return aws.Credentials{AccessKeyID: awsemu.AccessKey, SecretAccessKey: awsemu.SecretKey, CanExpire: true, Expires: s.wall().Add(s.life)}, nil
}

// A source that has nothing better than credentials near their end is not asked at each call.
func TestCredentialsThatAreNeverFresh(t *testing.T) {
	from := &source{life: 2 * time.Minute}
	c, _, at := open(t, func(c *awsjson.Config) { from.wall, c.Credentials = c.Wall, from })
	step := func(d time.Duration, want int32) {
		t.Helper()
		at.pass(d)
		for range 10 {
			if err := read(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got := from.asked.Load(); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	step(0, 1)
	step(4*time.Second, 1)
	step(time.Second, 2)
	step(2*time.Minute, 3)
}

// Credentials whose end has come, as a source hands out that cannot reach its own, are tried, for AWS may take them. All
// who wait for them share them.
func TestCredentialsPastTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &source{life: -time.Minute, takes: make(chan struct{}), wall: time.Now}
		c, err := awsjson.New(awsjson.Config{
			Service: awsjson.Service{Name: "ssm", Target: "AmazonSSM."}, Region: awsemu.Region, Endpoint: "http://127.0.0.1:1", Credentials: from,
		})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := read(t.Context(), c); errors.Is(err, awsjson.ErrLogin) || !errors.Is(err, secret.ErrUnavailable) {
					t.Errorf("got %v, want what the call came to", err)
				}
			})
		}
		synctest.Wait()
		close(from.takes)
		all.Wait()
		if got := from.asked.Load(); got != 1 {
			t.Errorf("asked %d times for all", got)
		}
		_ = c.Close()
	})
}
