package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
)

// VerifyOptions says against what a log is verified.
type VerifyOptions struct {
	PublicKey ed25519.PublicKey // required; from anywhere but the machine that holds the log

	// After is what the first file continues, where older files are gone: Report.Last of their verification. Zero: the
	// files hold the log from its beginning.
	After Position

	// OldestGone: older files were removed, and After is not known. What the signed birth record of the first file says of
	// the record that it continues is then taken for granted, and put into Report.Begins. Everything from there on is
	// verified as ever; nothing is known of what was before, nor who removed it.
	OldestGone bool
}

// Source is one file of a log.
type Source struct {
	Name   string // for errors and reports
	Reader io.Reader
}

// Verify reads a log, oldest file first, in memory bounded by MaxLineBytes and MaxOpenIntents, and recomputes every hash,
// sequence number and signature. It returns a *BadLine for the first line that is not as the log wrote it; other errors
// are of reading or of the options. The package comment says what cannot be found.
//
// A file may end with lines that were never acknowledged, because the write failed that stored them. They are abandoned:
// the next file's birth, which is signed, continues a record before them. Abandoned lines must form a chain but otherwise
// count for nothing.
func Verify(sources []Source, o VerifyOptions) (Report, error) {
	if len(o.PublicKey) != ed25519.PublicKeySize {
		return Report{}, fmt.Errorf("%w: public key of %d bytes, want %d", ErrInvalidKey, len(o.PublicKey), ed25519.PublicKeySize)
	}
	v := &verifier{key: o.PublicKey, keyID: KeyID(o.PublicKey), cur: cursor{Position: o.After, unseen: true}}
	v.report.Last, v.report.Begins = o.After, o.After
	err := v.run(sources, o.OldestGone && o.After.IsZero())
	v.report.OpenIntents, v.report.MoreOpenIntents = v.intents.list(), v.intents.more
	v.report.OpenCounts, v.report.MoreOpenCounts = v.counts.list(), v.counts.more
	return v.report, err
}

type verifier struct {
	key     ed25519.PublicKey
	keyID   string
	dec     decoder
	rec     Record
	message []byte
	cur     cursor // after the last record that counts
	intents intents
	counts  intents // aggregates without their count
	report  Report
}

// cursor is a place between two lines.
type cursor struct {
	Position
	sealed bool // the record before is a seal
	unseen bool // the record before is not in the files
}

func (v *verifier) run(sources []Source, oldestGone bool) error {
	var next *lines
	if oldestGone && len(sources) > 0 {
		next = newLines(sources[0].Reader)
		if p, ok := v.peek(next); ok {
			v.cur.Position, v.report.Begins = p, p
		}
	}
	for i, s := range sources {
		in := next
		if in == nil {
			in = newLines(s.Reader)
		}
		var (
			goesOn Position // where the next file takes up
			known  bool
		)
		if i+1 < len(sources) {
			next = newLines(sources[i+1].Reader)
			goesOn, known = v.peek(next)
			known = known && v.rec.Chain.Instance == goesOn.Instance && !v.rec.Chain.Rotated
		}
		if err := v.file(s.Name, in, i+1 == len(sources), goesOn, known); err != nil {
			return err
		}
		v.report.Files++
	}
	if v.report.Records == 0 {
		name := "no file"
		if len(sources) > 0 {
			name = sources[0].Name
		}
		return &BadLine{name, 1, "there is no record"}
	}
	return nil
}

// peek reads ahead which record the file continues, if it begins with a signed birth, which is then in v.rec. Whatever is
// wrong with that line is found when its turn comes.
func (v *verifier) peek(in *lines) (Position, bool) {
	head, _ := in.r.Peek(MaxLineBytes)
	line, _, found := bytes.Cut(head, []byte{'\n'})
	if !found || v.dec.decode(line, &v.rec) != nil || v.rec.Kind != Birth || v.signature(line) != "" {
		return Position{}, false
	}
	c := &v.rec.Chain
	return Position{c.Continues.Instance, c.Continues.Seq, c.Prev}, true
}

// file verifies one file. last: it ends the log. known: the next file takes up after goesOn, so lines behind that record
// are abandoned.
func (v *verifier) file(name string, in *lines, last bool, goesOn Position, known bool) error {
	at := v.cur
	abandoned := known && at.Position == goesOn
	for first := true; ; first = false {
		line, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrTorn) && (last || abandoned):
			if !abandoned {
				v.report.Torn = in.torn
			}
			return nil
		case errors.Is(err, ErrTorn), errors.Is(err, ErrNotRecord):
			return &BadLine{name, in.number, err.Error()}
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
		line = line[:len(line)-1]
		if err := v.dec.decode(line, &v.rec); err != nil {
			return &BadLine{name, in.number, err.Error()}
		}
		if what := v.follows(at, first); what != "" {
			return &BadLine{name, in.number, what}
		}
		if signed(v.rec.Kind) {
			if what := v.signature(line); what != "" {
				return &BadLine{name, in.number, what}
			}
		}
		at = cursor{Position: v.rec.Chain.Position(), sealed: v.rec.Kind == Seal}
		if abandoned {
			v.report.Abandoned++
			continue
		}
		v.count(name, in.number, first)
		v.cur = at
		abandoned = known && at.Position == goesOn
	}
}

// follows returns what is wrong with the place of the record, "" if nothing is.
func (v *verifier) follows(at cursor, first bool) string {
	c := &v.rec.Chain
	if v.rec.Kind == Birth {
		seq := uint64(1)
		if c.Instance == at.Instance {
			seq = at.Seq + 1
		}
		switch {
		case c.Continues != Place{at.Instance, at.Seq} || c.Prev != at.Hash:
			if at.IsZero() {
				return fmt.Sprintf("the log begins before this: after record %d of instance %s", c.Continues.Seq, c.Continues.Instance)
			}
			return fmt.Sprintf("a birth record that continues record %d of instance %s, not record %d of %s before it: lines are missing, or files out of order",
				c.Continues.Seq, c.Continues.Instance, at.Seq, at.Instance)
		case c.Seq != seq:
			return fmt.Sprintf("a birth record with seq %d, want %d", c.Seq, seq)
		case c.Rotated && (!first || c.Instance != at.Instance):
			return "a birth record for a full file that is not the first of its file, or of another instance"
		}
		return ""
	}
	switch {
	case first:
		return fmt.Sprintf("the file begins with a record of kind %s, not birth: lines are missing", v.rec.Kind)
	case at.sealed:
		return "a record after the seal"
	case c.Instance != at.Instance:
		return fmt.Sprintf("a record of instance %s among those of %s", c.Instance, at.Instance)
	case c.Seq != at.Seq+1:
		return fmt.Sprintf("seq is %d, want %d: lines are missing, repeated or out of order", c.Seq, at.Seq+1)
	case c.Prev != at.Hash:
		return "prev_hash is not the hash of the line before"
	}
	return ""
}

// signature returns what is wrong with the signature, "" if nothing is.
func (v *verifier) signature(line []byte) string {
	c := &v.rec.Chain
	if c.KeyID != v.keyID {
		return fmt.Sprintf("signed with key %.16q, not the given %s", c.KeyID, v.keyID)
	}
	v.message = appendSigned(v.message[:0], c.Instance, c.Seq, signedDigest(line))
	if !ed25519.Verify(v.key, v.message, c.Signature[:]) {
		return "the signature does not verify: the log was rewritten"
	}
	return ""
}

// count takes the record into the report. An instance begins a file of its own only after a failure; where another begins
// and no seal stands before it, the one before was killed.
func (v *verifier) count(file string, line int, first bool) {
	r, c := &v.report, &v.rec.Chain
	if v.rec.Kind == Birth && !v.cur.unseen {
		switch {
		case c.Rotated:
			r.Rotations++
		case first && c.Instance == v.cur.Instance:
			r.Failures++
		case !v.cur.sealed:
			r.Unsealed++
		}
	}
	r.Records++
	r.Last = c.Position()
	r.Sealed = v.rec.Kind == Seal
	r.Tail++
	if signed(v.rec.Kind) {
		r.Tail, r.SignedAt = 0, v.rec.Time
	}
	switch {
	case v.rec.Kind == Intent || v.rec.Kind == Aggregate && v.rec.Pair == "":
		v.pairs().begin(&v.rec, file, line)
	case v.rec.Kind == Outcome || v.rec.Kind == Aggregate:
		v.pairs().end(&v.rec)
	}
}

// pairs returns where the record in hand is paired.
func (v *verifier) pairs() *intents {
	if v.rec.Kind == Aggregate {
		return &v.counts
	}
	return &v.intents
}
