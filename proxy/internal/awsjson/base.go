package awsjson

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/batch"
	"github.com/keyhole-edge/keyhole/proxy/internal/listing"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// batchWait is how long a call for many that is not full waits for company.
const batchWait = 3 * time.Millisecond

// Base is what the upstreams of AWS share: a client, reads that are wanted at the same time as one call, and listings.
type Base struct {
	Client *Client
	Batch  *batch.Batch
	Lister listing.Lister

	account atomic.Pointer[string] // whose names are read; nil: no answer has told yet
}

// Shape is in what they differ.
type Shape struct {
	Service Service
	Most    int // names in one call of Many
	// One and Many are batch.Config's, Fetch is listing.Lister's.
	One   func(ctx context.Context, name string) (*secret.Secret, error)
	Many  func(ctx context.Context, names []string) (map[string]batch.Result, error)
	Fetch func(ctx context.Context, prefix string, add func(secret.Item) error) error
}

// Open makes b usable. c's Service is that of s.
func (b *Base) Open(c Config, s Shape) (err error) {
	c.Service = s.Service
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if b.Client, err = New(c); err != nil {
		return err
	}
	b.Lister.Wall, b.Lister.Fetch = c.Wall, s.Fetch
	b.Batch, err = batch.New(batch.Config{Most: s.Most, Wait: batchWait, One: s.One, Many: s.Many, Refused: Refused, Wall: c.Wall})
	return err
}

// Location implements secret.Located: what an ARN says, and for other names the client's region and the account that AWS
// has told of.
func (b *Base) Location(name string) secret.Location {
	if a, ok := ParseARN(name); ok {
		return secret.Location{Region: a.Region, Account: a.Account}
	}
	l := secret.Location{Region: b.Client.Region()}
	if account := b.account.Load(); account != nil {
		l.Account = *account
	}
	return l
}

// Told takes the account from the ARN in an answer about name, where that is no ARN itself.
func (b *Base) Told(name string, answer *strictjson.Node) {
	if b.account.Load() != nil || strings.HasPrefix(name, "arn:") {
		return
	}
	text, _ := answer.Get("ARN").Str()
	if a, ok := ParseARN(text); ok {
		b.account.Store(&a.Account)
	}
}

// Close ends the calls that are under way and waits for them.
func (b *Base) Close() error {
	err := b.Batch.Close()
	return errors.Join(err, b.Client.Close())
}
