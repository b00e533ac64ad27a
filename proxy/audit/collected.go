package audit

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
)

// VerifyCollected verifies lines that were gathered from where many instances write (Tail.Shared): in any order, some of
// them more than once, and among other text. Each instance is a chain of its own that begins with its birth; one that went
// on after a failure names the instance before and the last record that was acknowledged there, and lines behind that
// record are abandoned. Lines that do not begin as records do are counted and passed over, and so is the beginning of a
// record whose write was cut short: if it ever was acknowledged, its chain has a hole.
//
// It finds what Verify finds, but for whole instances that are gone: nothing names them. With VerifyOptions.OldestGone
// instances may begin with any record; After must be zero. It keeps some 150 bytes in mind for each record. Of the report
// SignedAt is that of the oldest last signature in an instance without a seal, and Last and Begins are zero.
func VerifyCollected(sources []Source, o VerifyOptions) (Report, error) {
	if len(o.PublicKey) != ed25519.PublicKeySize {
		return Report{}, fmt.Errorf("%w: public key of %d bytes, want %d", ErrInvalidKey, len(o.PublicKey), ed25519.PublicKeySize)
	}
	if !o.After.IsZero() {
		return Report{}, errors.New("collected lines have no one position to follow")
	}
	c := &collected{
		verifier:  verifier{key: o.PublicKey, keyID: KeyID(o.PublicKey)},
		instances: make(map[string]*chain), ended: make(map[ending]bool), oldestGone: o.OldestGone,
	}
	err := c.run(sources)
	return c.report, err
}

// VerifyCollectedFiles is VerifyCollected for files.
func VerifyCollectedFiles(paths []string, o VerifyOptions) (Report, error) {
	return overFiles(paths, nil, func(sources []Source) (Report, error) { return VerifyCollected(sources, o) })
}

// collected is lines of many instances.
type collected struct {
	verifier
	oldestGone bool
	sources    []Source
	instances  map[string]*chain
	begun      []*collectedLine // intents, and aggregates without their count
	ended      map[ending]bool
}

// ending is that of a pair.
type ending struct {
	count bool // of an aggregate
	id    string
}

// chain is the lines of one instance.
type chain struct {
	instance string
	lines    []collectedLine
	goesOn   []*collectedLine // births of the instances that went on after this one
}

// collectedLine is what matters of a line.
type collectedLine struct {
	seq        uint64
	prev, hash Hash
	kind       Kind
	file       int
	number     int
	continues  Place // of a birth
	time       int64 // of a signed record: milliseconds
	id, pair   string
}

func (c *collected) run(sources []Source) error {
	c.sources = sources
	for i, s := range sources {
		if err := c.read(i, s); err != nil {
			return err
		}
		c.report.Files++
	}
	if len(c.instances) == 0 {
		name := "no file"
		if len(sources) > 0 {
			name = sources[0].Name
		}
		return &BadLine{name, 1, "there is no record"}
	}
	all := c.sorted()
	if err := c.link(all); err != nil {
		return err
	}
	c.report.Sealed = true
	for _, k := range all {
		if err := c.chain(k); err != nil {
			return err
		}
	}
	c.pairs()
	c.report.OpenIntents, c.report.MoreOpenIntents = c.intents.list(), c.intents.more
	c.report.OpenCounts, c.report.MoreOpenCounts = c.counts.list(), c.counts.more
	return nil
}

// sorted is the instances in the order of their names, and their lines in order.
func (c *collected) sorted() []*chain {
	all := make([]*chain, 0, len(c.instances))
	for _, k := range c.instances {
		// Stable: of lines that are there twice the first counts.
		slices.SortStableFunc(k.lines, func(a, b collectedLine) int { return cmp.Compare(a.seq, b.seq) })
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *chain) int { return cmp.Compare(a.instance, b.instance) })
	return all
}

// link tells each chain which others go on after it. The lines do not move any more.
func (c *collected) link(all []*chain) error {
	for _, k := range all {
		for i := range k.lines {
			at := &k.lines[i]
			if at.kind != Birth || at.continues.Instance == "" || at.continues.Instance == k.instance {
				continue
			}
			if before := c.instances[at.continues.Instance]; before != nil {
				before.goesOn = append(before.goesOn, at)
			} else if !c.oldestGone {
				return c.bad(at, fmt.Sprintf("it goes on after record %d of instance %s, which is missing", at.continues.Seq, at.continues.Instance))
			}
		}
	}
	return nil
}

func (c *collected) bad(at *collectedLine, what string) error {
	return &BadLine{c.sources[at.file].Name, at.number, what}
}

// read takes the lines of one file, each checked by itself.
func (c *collected) read(file int, s Source) error {
	in := newLines(s.Reader)
	for {
		line, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLineTooLong) && !bytes.HasPrefix(line, []byte(lineStart)):
			c.report.Foreign++
			if err := in.skip(); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			continue
		case errors.Is(err, ErrNotRecord):
			return &BadLine{s.Name, in.number, err.Error()}
		case err != nil && !errors.Is(err, ErrTorn):
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if what := c.line(file, in.number, bytes.TrimSuffix(line, []byte{'\n'})); what != "" {
			return &BadLine{s.Name, in.number, what}
		}
	}
}

// line takes one line, and returns what is wrong with it, "" if nothing is. What was cut short may have the next record on
// its line; the beginning of one is in no record, since its quotes would be escaped there.
func (c *collected) line(file, number int, line []byte) string {
	if !bytes.HasPrefix(line, []byte(lineStart)) {
		c.report.Foreign++
		return ""
	}
	if i := bytes.LastIndex(line, []byte(lineStart)); i > 0 && !whole(line[:i]) {
		c.report.Torn += int64(i)
		line = line[i:]
	}
	if err := c.dec.decode(line, &c.rec); err != nil {
		if whole(line) {
			return err.Error()
		}
		c.report.Torn += int64(len(line))
		return ""
	}
	if signed(c.rec.Kind) {
		if what := c.signature(line); what != "" {
			return what
		}
	}
	c.take(file, number)
	return ""
}

// whole reports whether a line ends as records do: with a hash.
func whole(line []byte) bool {
	i := len(line) - len(hashMark) - 2*len(Hash{}) - len(`"}`)
	return i >= 0 && bytes.HasPrefix(line[i:], []byte(hashMark)) && bytes.HasSuffix(line, []byte(`"}`))
}

// take keeps the record in hand.
func (c *collected) take(file, number int) {
	r := &c.rec
	k := c.instances[r.Chain.Instance]
	if k == nil {
		k = &chain{instance: r.Chain.Instance}
		c.instances[k.instance] = k
	}
	at := collectedLine{
		seq: r.Chain.Seq, prev: r.Chain.Prev, hash: r.Chain.Hash, kind: r.Kind, file: file, number: number, continues: r.Chain.Continues,
		time: r.Time.UnixMilli(),
	}
	if paired(r) {
		at.id, at.pair = r.ID, r.Pair
	}
	k.lines = append(k.lines, at)
}
