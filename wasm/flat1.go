package wasm

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const (
	maxRequestBytes = 64 << 10
	flat1Magic      = "KPR1"
	flat1Header     = 40
	entryBytes      = 8  // {off, len}
	pairBytes       = 16 // {koff, klen, voff, vlen}
)

// appendFlat1 appends the request in the encoding flat1, of which dst must be the empty start: offsets count from it.
// It is false where the request would be larger than maxRequestBytes.
func (p *projection) appendFlat1(dst []byte, r *policy.Request) ([]byte, bool) {
	scopes := p.scopesOf(r)
	nclaims, nlabels := p.claims.count(r.Principal.Claims), p.labels.count(r.Labels)
	tables := flat1Header + entryBytes*(numSlots+len(scopes)) + pairBytes*(nclaims+nlabels)
	if tables > maxRequestBytes {
		return dst, false
	}
	f := flat1{slices.Grow(dst[:0], tables)[:tables], flat1Header, true}
	clear(f.b)
	copy(f.b, flat1Magic)
	le := binary.LittleEndian
	le.PutUint64(f.b[8:], uint64(p.nowMillis(r)))
	le.PutUint64(f.b[16:], uint64(p.expiresSeconds(r)))
	le.PutUint32(f.b[24:], numSlots)
	le.PutUint32(f.b[28:], uint32(len(scopes)))
	le.PutUint32(f.b[32:], uint32(nclaims))
	le.PutUint32(f.b[36:], uint32(nlabels))
	for slot := range numSlots {
		if slot == slotAnomaly && p.slots[slot] {
			f.number(p.anomaly(r))
			continue
		}
		f.text(p.text(slot, r))
	}
	for i := range scopes {
		f.scope(&scopes[i])
	}
	f.pairs(&p.claims, r.Principal.Claims)
	f.pairs(&p.labels, r.Labels)
	le.PutUint32(f.b[4:], uint32(len(f.b)))
	return f.b, f.ok
}

// flat1 is a request under construction: entry is where the next {off, len} goes.
type flat1 struct {
	b     []byte
	entry int
	ok    bool
}

// room reports whether n more bytes fit; once they did not, nothing more is written.
func (f *flat1) room(n int) bool {
	f.ok = f.ok && len(f.b)+n <= maxRequestBytes
	return f.ok
}

// close writes the entry of the text that began at start. An empty text is {0, 0}.
func (f *flat1) close(start int) {
	if n := len(f.b) - start; n > 0 {
		binary.LittleEndian.PutUint32(f.b[f.entry:], uint32(start))
		binary.LittleEndian.PutUint32(f.b[f.entry+4:], uint32(n))
	}
	f.entry += entryBytes
}

func (f *flat1) text(s string) {
	start := len(f.b)
	if f.room(len(s)) {
		f.b = append(f.b, s...)
	}
	f.close(start)
}

func (f *flat1) number(n int64) {
	start := len(f.b)
	if f.room(20) {
		f.b = strconv.AppendInt(f.b, n, 10)
	}
	f.close(start)
}

func (f *flat1) scope(s *policy.Scope) {
	start, pattern := len(f.b), s.Pattern.String()
	if f.room(len(s.Action) + 1 + len(pattern)) {
		f.b = append(f.b, s.Action...)
		f.b = append(f.b, ':')
		f.b = append(f.b, pattern...)
	}
	f.close(start)
}

func (f *flat1) pairs(filter *pairFilter, pairs []policy.Pair) {
	if !filter.all && len(filter.names) == 0 {
		return
	}
	for i := range pairs {
		if filter.has(pairs[i].Name) {
			f.text(pairs[i].Name)
			f.text(pairs[i].Value)
		}
	}
}
