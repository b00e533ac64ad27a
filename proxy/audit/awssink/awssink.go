// Package awssink keeps an audit log in AWS: as the items of a DynamoDB table, or through a stream of Amazon Data Firehose.
//
// Its laws:
//   - Only the service's own word is an acknowledgement. A call without an answer is made again with the same bytes, which
//     changes nothing where the first one was heard, until the answer is there or the time is over; then the batch has
//     failed, and the log goes on as another instance.
//   - Parts of a batch that is too large for one call go one after another: a part is sent when the one before is
//     acknowledged, so what is stored never has a hole.
//   - What is stored is not overwritten: by the table's condition, and since a stream only takes.
package awssink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// The time of a batch. Together it is less than what the log takes for hanging, 5 s.
const (
	patience       = 4 * time.Second
	attemptTimeout = 1500 * time.Millisecond
	firstPause     = 25 * time.Millisecond // before the second attempt, then twice as long each time, and half of it by chance
	longestPause   = 400 * time.Millisecond
)

// maxAnswer bounds what an acknowledgement may take.
const maxAnswer = 64 << 10

// Config says where the lines go, and as whom. AWS's Service is set by the sink.
type Config struct {
	AWS  awsjson.Config
	Name string // of the table or stream; required
}

// Sink implements audit.Sink.
type Sink struct {
	client *awsjson.Client
	what   string // for errors
	most   int    // bytes of one part
	times  times
	chance func() float64
	put    func(ctx context.Context, part []byte) error

	question question
}

// times are how long a batch, and one attempt of it, may take.
type times struct{ patience, attempt time.Duration }

func open(c Config, service awsjson.Service, what string) (*Sink, error) {
	if c.Name == "" {
		return nil, fmt.Errorf("audit: the %s has no name", what)
	}
	c.AWS.Service = service
	client, err := awsjson.New(c.AWS)
	if err != nil {
		return nil, fmt.Errorf("audit: %s %s: %w", what, c.Name, err)
	}
	return &Sink{client: client, what: what + " " + c.Name, times: times{patience, attemptTimeout}, chance: rand.Float64}, nil
}

// Open asks nothing of the network.
func (s *Sink) Open() (audit.Tail, error) { return audit.Tail{Shared: true}, nil }

// Write returns nil once the service has acknowledged all of batch, within 4 seconds.
func (s *Sink) Write(batch []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.times.patience)
	defer cancel()
	for len(batch) > 0 {
		n, err := cut(batch, s.most)
		if err == nil {
			err = s.insist(ctx, batch[:n])
		}
		if err != nil {
			return fmt.Errorf("audit log in the %s: %w", s.what, explained(err))
		}
		batch = batch[n:]
	}
	return nil
}

// Reopen is Write: the log goes on as another instance.
func (s *Sink) Reopen(batch []byte) error { return s.Write(batch) }

// Full is never so.
func (s *Sink) Full() bool { return false }

// Close releases the connections.
func (s *Sink) Close() error { return s.client.Close() }

// cut returns how much of batch, in whole lines, is at most so many bytes.
func cut(batch []byte, most int) (int, error) {
	if len(batch) <= most {
		return len(batch), nil
	}
	n := bytes.LastIndexByte(batch[:most], '\n') + 1
	if n == 0 {
		return 0, errors.New("a line is too long")
	}
	return n, nil
}

// insist puts part until there is an answer that another attempt would not change, or ctx is done. Then what the service
// said last tells more than that the time is over.
func (s *Sink) insist(ctx context.Context, part []byte) error {
	var said error
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, s.times.attempt)
		err := s.put(attempt, part)
		cancel()
		if err == nil || !passes(err) {
			return err
		}
		if said == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, secret.ErrTimeout) {
			said = err
		}
		wait := time.NewTimer(pause/2 + time.Duration(s.chance()*float64(pause/2)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return said
		}
	}
}

// explained says of a place that is missing what the word of an upstream would hide.
func explained(err error) error {
	if errors.Is(err, secret.ErrNotFound) {
		return missing{err}
	}
	return err
}

// missing wraps secret.ErrNotFound.
type missing struct{ error }

func (missing) Error() string   { return "there is none of that name in this region and account" }
func (m missing) Unwrap() error { return m.error }

// passes reports whether the same may succeed a little later. Whom AWS does not know, and what it refuses, it will not
// take in some seconds either.
func passes(err error) bool {
	if errors.Is(err, awsjson.ErrLogin) || errors.Is(err, awsjson.ErrClock) || errors.Is(err, awsjson.ErrClosed) {
		return false
	}
	for _, transient := range []error{secret.ErrUnavailable, secret.ErrThrottled, secret.ErrTimeout, context.DeadlineExceeded} {
		if errors.Is(err, transient) {
			return true
		}
	}
	return false
}
