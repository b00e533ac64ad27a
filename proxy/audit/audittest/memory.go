package audittest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// Memory is a sink that keeps its files in memory and fails on demand. The zero Memory is ready. It is safe for
// concurrent use, and may be opened again after Close: it then continues what it holds.
type Memory struct {
	mu      sync.Mutex
	files   [][]byte
	open    bool
	failed  bool
	writes  int
	failing error // answer of every call, until nil
	partial int   // bytes that a failing Write stores nevertheless
	rotate  int   // bytes at which a file is full; 0: never
}

// Rotate makes files of n bytes full; 0: never.
func (m *Memory) Rotate(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rotate = n
}

// Fail makes every Write and Reopen answer err, until Fail(nil, 0). The next failing Write stores at most partial bytes of
// its batch before.
func (m *Memory) Fail(err error, partial int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing, m.partial = err, partial
}

// Sources returns a copy of what is stored, oldest file first.
func (m *Memory) Sources() []audit.Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Source
	for i, f := range m.files {
		out = append(out, audit.Source{Name: fmt.Sprintf("file %d", i+1), Reader: bytes.NewReader(bytes.Clone(f))})
	}
	return out
}

// Crash returns a sink that holds what m holds now and nobody has open, as if the process had been killed. m goes on by
// itself.
func (m *Memory) Crash() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Memory{rotate: m.rotate}
	for _, f := range m.files {
		c.files = append(c.files, bytes.Clone(f))
	}
	return c
}

// Text returns all lines of all files.
func (m *Memory) Text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(bytes.Join(m.files, nil))
}

// Writes counts the batches that were taken or refused.
func (m *Memory) Writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

// Open implements audit.Sink.
func (m *Memory) Open() (audit.Tail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		return audit.Tail{}, audit.ErrInUse
	}
	m.open, m.failed = true, false
	var tail audit.Tail
	if len(m.files) == 0 {
		m.files = append(m.files, nil)
		return tail, nil
	}
	last := &m.files[len(m.files)-1]
	whole := bytes.LastIndexByte(*last, '\n') + 1
	tail.Torn = uint64(len(*last) - whole)
	*last = (*last)[:whole]
	lines := strings.Split(strings.TrimSuffix(string(*last), "\n"), "\n")
	var rec audit.Record
	if whole > 0 {
		if err := audit.Decode([]byte(lines[len(lines)-1]), &rec); err != nil {
			return audit.Tail{}, fmt.Errorf("%w: %w", audit.ErrNotLog, err)
		}
		tail.Last = rec.Chain.Position()
	}
	return tail, nil
}

// Write implements audit.Sink.
func (m *Memory) Write(batch []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	last := &m.files[len(m.files)-1]
	switch {
	case !m.open || m.failed:
		panic("Write before Open, after Close or after a failure")
	case m.failing != nil:
		m.failed = true
		*last = append(*last, batch[:min(m.partial, len(batch))]...)
		return m.failing
	}
	*last = append(*last, batch...)
	return nil
}

// Reopen implements audit.Sink.
func (m *Memory) Reopen(batch []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if !m.open {
		panic("Reopen before Open or after Close")
	}
	if m.failing != nil {
		m.failed = true
		return m.failing
	}
	m.failed = false
	m.files = append(m.files, bytes.Clone(batch))
	return nil
}

// Full implements audit.Sink.
func (m *Memory) Full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rotate > 0 && len(m.files[len(m.files)-1]) >= m.rotate
}

// Close implements audit.Sink.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = false
	return nil
}
