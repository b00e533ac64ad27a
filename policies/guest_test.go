package policies_test

import (
	"context"
	"encoding/binary"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/keyhole-edge/keyhole/policies"
)

// guest runs a module without the host, so that tests can hand it requests that the host would never make.
type guest struct {
	t   testing.TB
	mod api.Module
}

func builtin(t testing.TB, name string) []byte {
	t.Helper()
	wasm, ok := policies.Builtin(name)
	if !ok {
		t.Fatalf("no builtin policy %q", name)
	}
	return wasm
}

func jsonGuest(t testing.TB) []byte {
	t.Helper()
	wasm, err := os.ReadFile("testdata/scope_json.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func newGuest(t testing.TB, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	t.Cleanup(func() {
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	mod, err := rt.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t, mod}
}

func (g *guest) call(name string, args ...uint64) uint64 {
	g.t.Helper()
	out, err := g.mod.ExportedFunction(name).Call(context.Background(), args...)
	if err != nil {
		g.t.Fatalf("%s trapped: %v", name, err)
	}
	return out[0]
}

// put writes b to the guest's buffer and fills the rest of the buffer with a byte.
func (g *guest) put(b []byte, rest byte) uint64 {
	g.t.Helper()
	const size = 64 << 10
	ptr := g.call("policy_buffer", size)
	if ptr == 0 {
		g.t.Fatal("policy_buffer refused 64 KiB")
	}
	all := make([]byte, size)
	for i := copy(all, b); i < size; i++ {
		all[i] = rest
	}
	if !g.mod.Memory().Write(uint32(ptr), all) {
		g.t.Fatal("the buffer is not inside the memory")
	}
	return ptr
}

func (g *guest) init(data []byte) int32 {
	g.t.Helper()
	return int32(g.call("policy_init", g.put(data, 0), uint64(len(data))))
}

func (g *guest) eval(request []byte) uint64 {
	g.t.Helper()
	return g.evalWithRest(request, 0)
}

func (g *guest) evalWithRest(request []byte, rest byte) uint64 {
	g.t.Helper()
	return g.call("policy_eval", g.put(request, rest), uint64(len(request)))
}

func (g *guest) detail() string {
	g.t.Helper()
	at := g.call("policy_detail")
	b, ok := g.mod.Memory().Read(uint32(at>>32), uint32(at))
	if !ok {
		g.t.Fatalf("detail %#x is outside the memory", at)
	}
	return string(b)
}

// Effects and the rule code in a result word.
const (
	deny = iota
	allow
	abstain
	requireApproval
)

func effect(word uint64) int { return int(word & 0xff) }
func code(word uint64) int   { return int(word >> 8 & 0xffff) }

// flat is a request before it is encoded.
type flat struct {
	nowMS  int64
	slots  map[int]string
	scopes []string
	claims [][2]string
	labels [][2]string
}

// The slots that the guests read, and how many there are.
const (
	slotAction   = 0
	slotPath     = 1
	slotTrust    = 4
	slotSourceIP = 9
	slots        = 15
)

func (f flat) encode() []byte {
	le := binary.LittleEndian
	head := append([]byte("KPR1"), 0, 0, 0, 0)
	head = le.AppendUint64(head, uint64(f.nowMS))
	head = le.AppendUint64(head, 0)
	for _, n := range []int{slots, len(f.scopes), len(f.claims), len(f.labels)} {
		head = le.AppendUint32(head, uint32(n))
	}
	end := len(head) + 8*slots + 8*len(f.scopes) + 16*len(f.claims) + 16*len(f.labels)
	var texts []byte
	add := func(s string) {
		off := end + len(texts)
		if s == "" {
			off = 0
		}
		head = le.AppendUint32(le.AppendUint32(head, uint32(off)), uint32(len(s)))
		texts = append(texts, s...)
	}
	for i := range slots {
		add(f.slots[i])
	}
	for _, s := range f.scopes {
		add(s)
	}
	for _, pairs := range [][][2]string{f.claims, f.labels} {
		for _, p := range pairs {
			add(p[0])
			add(p[1])
		}
	}
	out := append(head, texts...)
	le.PutUint32(out[4:], uint32(len(out)))
	return out
}
