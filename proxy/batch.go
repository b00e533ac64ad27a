package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Limits of one batch.
const (
	MaxBatch      = 100     // paths
	MaxBatchBytes = 4 << 20 // secret bytes of all answers together
	batchWorkers  = 16
)

// BatchItem is the answer to one path of a batch: Err is nil, or an *Error and Answer is zero.
type BatchItem struct {
	Answer Answer
	Err    error
}

// ReadBatch reads the current versions of several secrets with one token, each with a decision and a record of its own,
// and answers in the order asked; a path that is asked twice is answered twice. An item that would take the answers past
// MaxBatchBytes is refused as too_large. The whole batch fails where the token is refused, be it in between, or where a
// record could not be written. The caller releases the answers without an error.
func (p *Proxy) ReadBatch(ctx context.Context, c *Call, paths []secret.Path) ([]BatchItem, error) {
	first := p.begin(c, policy.Read)
	defer p.end(first)
	if _, err := p.authenticate(ctx, c, first); err != nil {
		return nil, err
	}
	items := make([]BatchItem, len(paths))
	ts := make([]*transaction, len(paths))
	for i := range paths {
		ts[i] = p.begin(c, policy.Read)
		ts[i].actFor(first.token)
		ts[i].under(first.rules)
		ts[i].limit.parent = first.bounded(ctx) // one deadline for all
	}
	defer func() {
		for _, t := range ts {
			p.end(t)
		}
	}()
	each(len(paths), func(i int) {
		r := ReadRequest{Path: paths[i], Version: secret.Current}
		m, err := p.decide(ctx, ts[i], r.Path, r.Version)
		if items[i].Err = err; err != nil {
			return
		}
		if items[i].Answer, err = p.fetch(ctx, ts[i], m, r); err != nil {
			items[i].Err = p.refuse(ctx, ts[i], because(err))
		}
	})
	tooLarge := overBudget(items)
	each(len(paths), func(i int) {
		switch it := &items[i]; {
		case it.Err != nil:
		case tooLarge[i]:
			it.Answer.Release()
			it.Answer = Answer{}
			it.Err = p.refuse(ctx, ts[i], fail(api.TooLarge, fmt.Sprintf("the batch is over %d bytes with this secret; ask for it apart", MaxBatchBytes)))
		case !p.lend(&it.Answer):
			it.Answer.Release()
			it.Answer = Answer{}
			it.Err = p.refuse(ctx, ts[i], overloaded())
		default:
			it.Answer.own()
			p.describe(ts[i], &it.Answer)
			if it.Err = p.record(ctx, ts[i]); it.Err != nil {
				it.Answer.Release()
				it.Answer = Answer{}
			}
		}
	})
	p.settleAll(ctx, ts, paths, items)
	if err := fatal(items); err != nil {
		for i := range items {
			items[i].Answer.Release()
		}
		return nil, err
	}
	return items, nil
}

// settleAll settles the answers of a batch, of which none leaves before the last is settled: a round that takes as long as
// what was decided holds is followed by another.
func (p *Proxy) settleAll(ctx context.Context, ts []*transaction, paths []secret.Path, items []BatchItem) {
	for range maxDecisions {
		began := p.wall()
		each(len(items), func(i int) {
			if it := &items[i]; it.Err == nil {
				it.Answer, it.Err = p.settle(ctx, ts[i], ReadRequest{Path: paths[i], Version: secret.Current}, it.Answer)
			}
		})
		if d := p.wall().Sub(began); 0 <= d && d < p.fresh.interval {
			return
		}
	}
	each(len(items), func(i int) {
		if it := &items[i]; it.Err == nil {
			it.Answer.Release()
			it.Answer = Answer{}
			ts[i].renew(p.wall())
			it.Err = p.refuse(ctx, ts[i], overtakenAgain())
		}
	})
}

// overBudget goes through the items in order and says which do not fit any more. A smaller one after them may.
func overBudget(items []BatchItem) []bool {
	over := make([]bool, len(items))
	left := MaxBatchBytes
	for i := range items {
		if items[i].Err != nil {
			continue
		}
		size := items[i].Answer.size()
		if over[i] = size > left; !over[i] {
			left -= size
		}
	}
	return over
}

// fatal returns the error of an item that speaks for all: without a record nothing leaves, and a token that was refused
// in between is refused.
func fatal(items []BatchItem) error {
	for i := range items {
		if e := (*Error)(nil); errors.As(items[i].Err, &e) && (e.Code == api.AuditUnavailable || e.Code.Status() == 401) {
			return e
		}
	}
	return nil
}

// each calls do for 0 to n-1, a few at a time, and returns when all are done. A panic comes out of each itself, where the
// caller's surface takes care of it; on a goroutine of its own it would end the process.
func each(n int, do func(i int)) {
	var (
		next   atomic.Int64
		broken atomic.Pointer[any]
		wg     sync.WaitGroup
	)
	for range min(n, batchWorkers) {
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					broken.Store(&v)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
	if v := broken.Load(); v != nil {
		panic(*v)
	}
}
