package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// The layout of bbolt's data file, version 2: pages in the machine's byte order, two meta pages first.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeaderBytes = 16 // id u64, flags u16, count u16, overflow u32
	metaBytes       = 64 // magic, version, page size, flags u32; root, sequence, freelist, high water, txid, checksum u64
	metaSumAt       = 56
	elementBytes    = 16 // branch: pos, ksize u32, page u64; leaf: flags, pos, ksize, vsize u32
	bucketBytes     = 16 // root, sequence u64; root 0: an inline page follows

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	maxKeyBytes  = 32768
	maxTreeDepth = 32
	noFreelist   = ^uint64(0)
)

var order = binary.NativeEndian

// damaged is ErrDamaged with a reason.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// Check checks that file, of size bytes, is a whole data file: that each page reached from the newest valid meta
// page is inside the file, of the right kind, reached once and ordered, and that no free page is in use. It reads all
// pages but the content of large values.
func Check(file io.ReaderAt, size int64) error {
	m, err := newestMeta(file, size)
	if err != nil {
		return err
	}
	if m.high < 4 || m.high > uint64(size)/m.pageSize {
		return damaged("%d bytes long, %d pages of %d are missing some", size, m.high, m.pageSize)
	}
	c := &checker{file: file, pageSize: m.pageSize, high: m.high, used: make([]uint64, m.high/64+1)}
	if err := c.tree(m.root, 0, nil, nil); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return fmt.Errorf("%w: a database without a list of free pages", ErrForeign)
	}
	return c.freelist(m.freelist)
}

type checker struct {
	file           io.ReaderAt
	pageSize, high uint64
	used           []uint64 // a bit for each page
}

// use marks pages as used, and fails when one is already, or is outside the file.
func (c *checker) use(id, n uint64) error {
	if id < 2 || n > c.high || id > c.high-n {
		return damaged("page %d is outside of it", id)
	}
	for end := id + n; id < end; id++ {
		if c.used[id/64]&(1<<(id%64)) != 0 {
			return damaged("page %d is used twice", id)
		}
		c.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

// load opens a page that nothing has used before.
func (c *checker) load(id uint64) (*page, error) {
	if id < 2 || id >= c.high {
		return nil, damaged("page %d is outside of it", id)
	}
	p, err := newPage(c.file, id*c.pageSize, c.pageSize, c.pageSize)
	if err != nil {
		return nil, err
	}
	if p.id != id {
		return nil, damaged("page %d says that it is another", id)
	}
	p.size = (p.overflow + 1) * c.pageSize
	return p, c.use(id, p.overflow+1)
}

// tree checks a page and all below it. Keys must be at least low and, unless high is nil, less than high.
func (c *checker) tree(id uint64, depth int, low, high []byte) error {
	if depth > maxTreeDepth {
		return damaged("its tree is too deep")
	}
	p, err := c.load(id)
	if err != nil {
		return err
	}
	switch p.flags {
	case flagLeaf:
		return c.leaf(p, depth, low, high)
	case flagBranch:
		return c.branch(p, depth, low, high)
	}
	return damaged("page %d is neither branch nor leaf", id)
}

func (c *checker) branch(p *page, depth int, low, high []byte) error {
	if p.count == 0 {
		return damaged("page %d is an empty branch", p.id)
	}
	var child uint64
	key := low
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		k, err := p.key(i, order.Uint32(e), order.Uint32(e[4:]), 0)
		if err != nil {
			return err
		}
		if err := checkOrder(k, key, high, i == 0); err != nil {
			return err
		}
		// The child before lies between its own key and this one.
		if i > 0 {
			if err := c.tree(child, depth+1, key, k); err != nil {
				return err
			}
		}
		child, key = order.Uint64(e[8:]), bytes.Clone(k)
	}
	return c.tree(child, depth+1, key, high)
}

func (c *checker) leaf(p *page, depth int, low, high []byte) error {
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		flags, pos, ksize, vsize := order.Uint32(e), order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:])
		k, err := p.key(i, pos, ksize, vsize)
		if err != nil {
			return err
		}
		if err := checkOrder(k, low, high, i == 0); err != nil {
			return err
		}
		low = bytes.Clone(k)
		switch flags {
		case 0:
		case flagBucket:
			at := pageHeaderBytes + i*elementBytes + uint64(pos) + uint64(ksize)
			if err := c.bucket(p, at, uint64(vsize), depth); err != nil {
				return err
			}
		default:
			return damaged("page %d has an element of unknown kind", p.id)
		}
	}
	return nil
}

// bucket checks the bucket whose header stands at offset at of its parent's page.
func (c *checker) bucket(p *page, at, size uint64, depth int) error {
	if size < bucketBytes {
		return damaged("page %d has a bucket that is cut short", p.id)
	}
	b, err := p.read(at, bucketBytes)
	if err != nil {
		return err
	}
	if root := order.Uint64(b); root != 0 {
		return c.tree(root, depth+1, nil, nil)
	}
	inline, err := newPage(c.file, p.start+at+bucketBytes, size-bucketBytes, c.pageSize)
	if err != nil {
		return err
	}
	if inline.flags != flagLeaf || depth > maxTreeDepth {
		return damaged("page %d has an inline bucket that is no leaf", p.id)
	}
	return c.leaf(inline, depth+1, nil, nil)
}

func checkOrder(key, low, high []byte, first bool) error {
	if d := bytes.Compare(key, low); d < 0 || d == 0 && !first || high != nil && bytes.Compare(key, high) >= 0 {
		return damaged("its keys are out of order")
	}
	return nil
}

func (c *checker) freelist(id uint64) error {
	p, err := c.load(id)
	if err != nil {
		return err
	}
	if p.flags != flagFreelist {
		return damaged("page %d is no list of free pages", id)
	}
	at, count := uint64(pageHeaderBytes), p.count
	if count == 0xFFFF { // the count did not fit and is the first entry
		b, err := p.read(at, 8)
		if err != nil {
			return err
		}
		at, count = at+8, order.Uint64(b)
	}
	if count > c.high {
		return damaged("it lists more free pages than it has")
	}
	list, err := p.read(at, count*8)
	if err != nil {
		return err
	}
	var before uint64
	for ; len(list) > 0; list = list[8:] {
		free := order.Uint64(list)
		if free <= before {
			return damaged("its free pages are out of order")
		}
		if err := c.use(free, 1); err != nil {
			return err
		}
		before = free
	}
	return nil
}
