package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// chain verifies the lines of one instance, each of which is as the log wrote it.
func (c *collected) chain(k *chain) error {
	// Stable: of lines that are there twice the first counts.
	slices.SortStableFunc(k.lines, func(a, b collectedLine) int { return cmp.Compare(a.seq, b.seq) })
	last, err := c.cut(k)
	if err != nil {
		return err
	}
	c.report.Instances++
	var before *collectedLine
	var tail uint64
	var signedAt time.Time
	for i := range k.lines {
		at := &k.lines[i]
		if i > 0 && at.seq == k.lines[i-1].seq {
			if at.hash != k.lines[i-1].hash {
				return c.bad(at, fmt.Sprintf("seq %d of instance %s stands for two records", at.seq, k.instance))
			}
			c.report.Repeated++
			continue
		}
		if last > 0 && at.seq > last {
			c.report.Abandoned++
			continue
		}
		if what := c.place(k, before, at); what != "" {
			return c.bad(at, what)
		}
		c.report.Records++
		c.pair(at)
		tail++
		if signed(at.kind) {
			tail, signedAt = 0, time.UnixMilli(at.time)
		}
		before = at
	}
	if last > 0 && (before == nil || before.seq != last || before.hash != k.goesOn[0].prev) {
		return c.bad(k.goesOn[0], fmt.Sprintf("it goes on after record %d of instance %s, which is missing or another", last, k.instance))
	}
	switch {
	case last > 0:
		c.report.Failures++
	case before.kind != Seal:
		c.report.Unsealed++
		c.report.Sealed = false
		c.report.Tail += tail
		if c.report.SignedAt.IsZero() || signedAt.Before(c.report.SignedAt) {
			c.report.SignedAt = signedAt
		}
	}
	return nil
}

// cut returns the sequence number behind which lines of k are abandoned, because other instances go on there: 0 where
// none does. Several may, where the births of some were stored and not acknowledged.
func (c *collected) cut(k *chain) (uint64, error) {
	var last uint64
	for _, birth := range k.goesOn {
		if last > 0 && (birth.continues.Seq != last || birth.prev != k.goesOn[0].prev) {
			return 0, c.bad(birth, fmt.Sprintf("it goes on after record %d of instance %s, and another instance after record %d", birth.continues.Seq, k.instance, last))
		}
		last = birth.continues.Seq
	}
	return last, nil
}

// place returns what is wrong with the place of a line behind before, "" if nothing is.
func (c *collected) place(k *chain, before, at *collectedLine) string {
	switch {
	case before == nil && c.oldestGone:
		return ""
	case before == nil && (at.kind != Birth || at.seq != 1):
		return fmt.Sprintf("instance %s begins with seq %d, of kind %s: lines are missing", k.instance, at.seq, at.kind)
	case before == nil:
		return ""
	case before.kind == Seal && at.kind != Birth:
		return "a record after the seal"
	case at.seq != before.seq+1:
		return fmt.Sprintf("seq of instance %s is %d, want %d: lines are missing", k.instance, at.seq, before.seq+1)
	case at.prev != before.hash:
		return "prev_hash is not the hash of the line before"
	}
	return ""
}

// paired reports whether r is half of a pair.
func paired(r *Record) bool { return r.Kind == Intent || r.Kind == Outcome || r.Kind == Aggregate }

// pair notes how what was begun has ended.
func (c *collected) pair(at *collectedLine) {
	r := Record{ID: at.id, Pair: at.pair, Kind: at.kind, Time: time.UnixMilli(at.time).UTC()}
	if !paired(&r) {
		return
	}
	of := &c.intents
	if r.Kind == Aggregate {
		of = &c.counts
	}
	if r.Pair == "" {
		of.begin(&r, c.sources[at.file].Name, at.number)
	} else {
		of.end(&r)
	}
}
