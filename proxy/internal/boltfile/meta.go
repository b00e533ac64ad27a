package boltfile

import (
	"hash/fnv"
	"io"
)

// meta is what a meta page says of the file.
type meta struct {
	pageSize, root, freelist, high, txid uint64
}

// newestMeta finds the valid meta page of the last transaction, as the library does: the page size stands in the meta
// pages themselves, so the second is looked for at each possible one when the first is not valid.
func newestMeta(file io.ReaderAt, size int64) (meta, error) {
	if size == 0 {
		return meta{}, damaged("it is empty")
	}
	first, known, ok := readMeta(file, 0)
	best := first
	for at := int64(512); at <= 1<<24 && at < size; at <<= 1 {
		second, magic, valid := readMeta(file, at)
		// While the first is valid, only its own page size counts.
		if ok && uint64(at) != first.pageSize || valid && uint64(at) != second.pageSize {
			continue
		}
		known = known || magic
		if valid && (best.pageSize == 0 || second.txid > best.txid) {
			best = second
		}
	}
	switch {
	case best.pageSize != 0:
		return best, nil
	case known:
		return meta{}, damaged("neither of its meta pages is valid")
	}
	return meta{}, ErrForeign
}

// readMeta reports whether a data file's magic number is there, and whether the whole meta page is valid.
func readMeta(file io.ReaderAt, at int64) (m meta, magic, valid bool) {
	var b [metaBytes]byte
	n, _ := file.ReadAt(b[:], at+pageHeaderBytes)
	if n < 4 || order.Uint32(b[:]) != boltMagic {
		return meta{}, false, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSumAt])
	if n < metaBytes || order.Uint32(b[4:]) != boltVersion || order.Uint64(b[metaSumAt:]) != sum.Sum64() {
		return meta{}, true, false
	}
	m = meta{
		pageSize: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]), high: order.Uint64(b[40:]), txid: order.Uint64(b[48:]),
	}
	if s := m.pageSize; s < 512 || s > 1<<24 || s&(s-1) != 0 {
		return meta{}, true, false
	}
	return m, true, true
}
