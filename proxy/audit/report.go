package audit

import (
	"errors"
	"fmt"
	"sort"
	"time"
)

// ErrTampered is wrapped by the *BadLine that Verify returns: the log is not what was written.
var ErrTampered = errors.New("audit log does not verify")

// BadLine is the first line that does not verify. An edit shows on the line that was edited or, where lines are gone or
// new, on the line after.
type BadLine struct {
	File string
	Line int // from 1
	What string
}

// Error names file, line and what is wrong.
func (e *BadLine) Error() string {
	return fmt.Sprintf("%v: %s, line %d: %s", ErrTampered, e.File, e.Line, e.What)
}

// Unwrap returns ErrTampered.
func (e *BadLine) Unwrap() error { return ErrTampered }

// Report is what Verify found; with an error, up to the bad line.
type Report struct {
	Files   int
	Records uint64   // abandoned lines not counted
	Begins  Position // before the first record; zero where the files hold the log from its beginning
	Last    Position // of the last record; VerifyOptions.After for the files that follow

	// Sealed: the log ends with a seal. Otherwise Tail records follow the last signature, of SignedAt: they chain, but
	// whoever can write the file could have written them, and cut off others.
	Sealed   bool
	Tail     uint64
	SignedAt time.Time

	Torn      int64  // bytes of an incomplete line at the very end: being written, or lost. Of VerifyCollected: of all such lines
	Unsealed  int    // instances that ended without a seal before another began
	Rotations int    // times that the instance went on in a new file because the old one was full
	Failures  int    // times that the sink failed and the instance went on in a new file
	Abandoned uint64 // lines of failed writes: stored, never acknowledged, and no signature covers them

	// Of VerifyCollected alone.
	Instances int
	Repeated  uint64 // lines that are there once more
	Foreign   uint64 // lines that are no records

	OpenIntents     []OpenIntent // intents without outcome, in order
	MoreOpenIntents uint64       // those beyond MaxOpenIntents at one time, which were not followed

	// Aggregates without their count, in order: more refusals of that source may have been answered than are recorded,
	// because the process ended first.
	OpenCounts     []OpenIntent
	MoreOpenCounts uint64
}

// MaxOpenIntents bounds the intents that Verify keeps in mind.
const MaxOpenIntents = 1 << 16

// OpenIntent is a change that was announced and may or may not have been made, or an aggregate without its count.
type OpenIntent struct {
	ID   string
	Time time.Time
	File string
	Line int
}

// intents pairs what was begun with how it ended.
type intents struct {
	open map[string]openIntent
	n    int
	more uint64
}

type openIntent struct {
	OpenIntent
	order int
}

func (p *intents) begin(rec *Record, file string, line int) {
	if len(p.open) >= MaxOpenIntents {
		p.more++
		return
	}
	if p.open == nil {
		p.open = make(map[string]openIntent)
	}
	p.n++
	p.open[rec.ID] = openIntent{OpenIntent{rec.ID, rec.Time, file, line}, p.n}
}

func (p *intents) end(rec *Record) { delete(p.open, rec.Pair) }

func (p *intents) list() []OpenIntent {
	all := make([]openIntent, 0, len(p.open))
	for _, o := range p.open {
		all = append(all, o)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].order < all[j].order })
	var out []OpenIntent
	for _, o := range all {
		out = append(out, o.OpenIntent)
	}
	return out
}
