package audit

import (
	"fmt"
	"slices"
	"time"
)

// chain verifies the lines of one instance, each of which is as the log wrote it.
func (c *collected) chain(k *chain) error {
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
		c.note(at)
		tail++
		if signed(at.kind) {
			tail, signedAt = 0, time.UnixMilli(at.time)
		}
		before = at
	}
	if gone := before == nil && c.oldestGone; last > 0 && !gone && (before == nil || before.seq != last || before.hash != k.goesOn[0].prev) {
		return c.bad(k.goesOn[0], fmt.Sprintf("it goes on after record %d of instance %s, which is missing or another", last, k.instance))
	}
	switch {
	case last > 0, c.superseded(k):
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

// superseded reports whether another instance went on later where k did: then nothing of k was ever acknowledged, and
// nobody was there to seal it.
func (c *collected) superseded(k *chain) bool {
	birth := &k.lines[0]
	if birth.kind != Birth || birth.continues.Instance == k.instance {
		return false
	}
	before := c.instances[birth.continues.Instance]
	return before != nil && slices.ContainsFunc(before.goesOn, func(other *collectedLine) bool { return other.time > birth.time })
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

// note keeps in mind what a line that counts begins or ends.
func (c *collected) note(at *collectedLine) {
	switch {
	case at.id == "":
	case at.kind == Intent || at.pair == "":
		c.begun = append(c.begun, at)
	default:
		c.ended[ending{at.kind == Aggregate, at.pair}] = true
	}
}

// pairs finds what was begun and has not ended, in whatever instance that is.
func (c *collected) pairs() {
	for _, at := range c.begun {
		if c.ended[ending{at.kind == Aggregate, at.id}] {
			continue
		}
		of := &c.intents
		if at.kind == Aggregate {
			of = &c.counts
		}
		of.begin(&Record{ID: at.id, Time: time.UnixMilli(at.time).UTC()}, c.sources[at.file].Name, at.number)
	}
}
