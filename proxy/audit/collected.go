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
// record are abandoned. Lines that do not begin as records do are counted and passed over.
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
		instances: make(map[string]*chain), oldestGone: o.OldestGone,
	}
	err := c.run(sources)
	return c.report, err
}

// VerifyCollectedFiles is VerifyCollected for files.
func VerifyCollectedFiles(paths []string, o VerifyOptions) (Report, error) {
	sources := make([]Source, len(paths))
	files := make([]lazyFile, len(paths))
	defer func() {
		for i := range files {
			files[i].close()
		}
	}()
	for i, p := range paths {
		files[i].path = p
		sources[i] = Source{p, &files[i]}
	}
	return VerifyCollected(sources, o)
}

// collected is lines of many instances.
type collected struct {
	verifier
	oldestGone bool
	sources    []Source
	instances  map[string]*chain
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
	for _, k := range c.instances {
		for i := range k.lines {
			if at := &k.lines[i]; at.kind == Birth && at.continues.Instance != "" && at.continues.Instance != k.instance {
				if before := c.instances[at.continues.Instance]; before != nil {
					before.goesOn = append(before.goesOn, at)
				} else if !c.oldestGone {
					return c.bad(at, fmt.Sprintf("it goes on after record %d of instance %s, which is missing", at.continues.Seq, at.continues.Instance))
				}
			}
		}
	}
	c.report.Sealed = true
	for _, k := range c.sorted() {
		if err := c.chain(k); err != nil {
			return err
		}
	}
	c.report.OpenIntents, c.report.MoreOpenIntents = c.intents.list(), c.intents.more
	c.report.OpenCounts, c.report.MoreOpenCounts = c.counts.list(), c.counts.more
	return nil
}

// sorted is the instances in the order of their names, which is that of their beginnings where they are ULIDs. An outcome
// may stand in the instance after that of its intent.
func (c *collected) sorted() []*chain {
	all := make([]*chain, 0, len(c.instances))
	for _, k := range c.instances {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *chain) int { return cmp.Compare(a.instance, b.instance) })
	return all
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
		case errors.Is(err, ErrTorn), errors.Is(err, ErrNotRecord):
			return &BadLine{s.Name, in.number, err.Error()}
		case err != nil:
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		line = line[:len(line)-1]
		if !bytes.HasPrefix(line, []byte(lineStart)) {
			c.report.Foreign++
			continue
		}
		if err := c.dec.decode(line, &c.rec); err != nil {
			return &BadLine{s.Name, in.number, err.Error()}
		}
		if signed(c.rec.Kind) {
			if what := c.signature(line); what != "" {
				return &BadLine{s.Name, in.number, what}
			}
		}
		c.take(file, in.number)
	}
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
