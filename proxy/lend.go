package proxy

import "sync/atomic"

// Memory for answers: one is held until its caller has read it, who may be slow, and in an encoding that may take six
// times the bytes of the secret. So all together have a bound. Small ones are not counted: as many as may be in flight take
// little, and they pass while large ones wait.
const (
	lendable    = 48 << 20 // secret bytes in all answers that have not been released
	smallAnswer = 16 << 10
)

// loan is the part of lendable that an answer holds. The zero loan holds none.
type loan struct {
	from *atomic.Int64
	size int64
}

// size is the number of secret bytes that a gives out.
func (a *Answer) size() int {
	n := a.Value.Len()
	for _, f := range a.Fields {
		n += len(f.Name) + f.Value.Len()
	}
	return n
}

// lend counts a, or reports that there is no room for it. It comes before the record, which says what the caller gets.
func (p *Proxy) lend(a *Answer) bool {
	size := int64(a.size())
	if p.lent.Add(size) > lendable {
		p.lent.Add(-size)
		return false
	}
	a.loan = loan{&p.lent, size}
	return true
}

// lendLarge is lend for an answer that stands alone.
func (p *Proxy) lendLarge(a *Answer) bool {
	return a.Unchanged || a.size() <= smallAnswer || p.lend(a)
}

func (l loan) end() {
	if l.from != nil {
		l.from.Add(-l.size)
	}
}
