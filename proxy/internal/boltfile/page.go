package boltfile

import "io"

// page reads one page of a data file, or the page inside an inline bucket, never beyond its end.
type page struct {
	file            io.ReaderAt
	start, size     uint64 // in the file; size includes overflow pages
	head            []byte // the first bytes of it, read once
	id              uint64
	flags           uint16
	count, overflow uint64
}

func newPage(file io.ReaderAt, start, size, buffer uint64) (*page, error) {
	if size < pageHeaderBytes {
		return nil, damaged("a page is cut short")
	}
	p := &page{file: file, start: start, size: size}
	var err error
	if p.head, err = p.read(0, min(size, buffer)); err != nil {
		return nil, err
	}
	p.id, p.flags = order.Uint64(p.head), order.Uint16(p.head[8:])
	p.count, p.overflow = uint64(order.Uint16(p.head[10:])), uint64(order.Uint32(p.head[12:]))
	return p, nil
}

// read returns n bytes at offset at.
func (p *page) read(at, n uint64) ([]byte, error) {
	if n > p.size || at > p.size-n {
		return nil, damaged("page %d reaches beyond its end", p.id)
	}
	if at+n <= uint64(len(p.head)) {
		return p.head[at : at+n], nil
	}
	b := make([]byte, n)
	if _, err := p.file.ReadAt(b, int64(p.start+at)); err != nil {
		return nil, damaged("page %d cannot be read: %w", p.id, err)
	}
	return b, nil
}

// element returns the i-th element, of a leaf or a branch.
func (p *page) element(i uint64) ([]byte, error) {
	return p.read(pageHeaderBytes+i*elementBytes, elementBytes)
}

// key returns the key of the i-th element, having checked that its value of vsize bytes is inside the page as well.
// Positions count from the element itself, and keys begin behind the last element.
func (p *page) key(i uint64, pos, ksize, vsize uint32) ([]byte, error) {
	if ksize == 0 || ksize > maxKeyBytes || uint64(pos) < (p.count-i)*elementBytes {
		return nil, damaged("page %d has a key that makes no sense", p.id)
	}
	at := pageHeaderBytes + i*elementBytes + uint64(pos)
	if end := at + uint64(ksize) + uint64(vsize); end > p.size {
		return nil, damaged("page %d has a value that reaches beyond its end", p.id)
	}
	return p.read(at, uint64(ksize))
}
