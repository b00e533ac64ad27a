package wasm_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

func TestDecodeResult(t *testing.T) {
	got, err := wasm.DecodeResult(0x7fffffff_03ffff01)
	want := wasm.Result{Effect: policy.Allow, Code: 0xffff, Detail: true, Cacheable: true, TTL: 0x7fffffff}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := wasm.DecodeResult(0); err != nil || got != (wasm.Result{}) {
		t.Errorf("all-zero: got %+v, %v; want a plain deny", got, err)
	}
}

// Encoding a decoded word gives the word back; every other word is an error.
func FuzzDecodeResult(f *testing.F) {
	for _, w := range []uint64{0, 1, 2, 3, 4, 255, 1 << 24, 1 << 25, 1 << 26, 1 << 31, 1 << 32, 1 << 62, 1 << 63, ^uint64(0)} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w uint64) {
		r, err := wasm.DecodeResult(w)
		bad := w&0xff > 3 || w>>63 != 0 || w>>26&0x3f != 0
		if bad != (err != nil) || err != nil && !errors.Is(err, wasm.ErrOutput) {
			t.Fatalf("%#x: %v", w, err)
		}
		if err != nil {
			if r.Effect != policy.Deny {
				t.Fatalf("%#x: an error with the effect %v", w, r.Effect)
			}
			return
		}
		bit := func(b bool, at int) uint64 {
			if b {
				return 1 << at
			}
			return 0
		}
		if back := uint64(r.Effect) | uint64(r.Code)<<8 | bit(r.Detail, 24) | bit(r.Cacheable, 25) | uint64(r.TTL)<<32; back != w {
			t.Fatalf("%#x became %+v", w, r)
		}
	})
}

func TestReasonIsCutAtACharacter(t *testing.T) {
	reason, _, _, err := wasm.ParseDetail([]byte(`{"reason":"x` + strings.Repeat("é", 200) + `"}`))
	if err != nil || len(reason) != 255 || !utf8.ValidString(reason) {
		t.Errorf("%d bytes, %v", len(reason), err)
	}
}

func FuzzDetail(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"reason":"no\u0000","rule":"x","obligations":{"approvers":["a","a"],"n":2,"max_ttl":60}}`,
		`{"obligations":{"n":33}}`, `{"reason":1}`, `[1,]`, `{"a":1}{}`, "{\"reason\":\"\xff\"}", `{"reason":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reason, rule, o, err := wasm.ParseDetail(data)
		if err != nil {
			if !errors.Is(err, wasm.ErrOutput) {
				t.Fatalf("%v does not wrap ErrOutput", err)
			}
			return
		}
		if len(reason) > 256 || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
			t.Fatalf("reason %q", reason)
		}
		if len(rule) > 64 || strings.ContainsAny(rule, "/ \n\"") || rule == "error" {
			t.Fatalf("rule %q", rule)
		}
		if o != nil && (o.N < 1 || o.N > 32 || o.MaxTTL < 0 || len(o.Approvers) > 32) {
			t.Fatalf("obligations %+v", o)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"abi":1,"kind":"native","encoding":"json","name":"x","inputs":["action"],"rules":{"1":"a"}}`))
	f.Add([]byte(`{"abi":1,"kind":"opa"}`))
	f.Fuzz(func(t *testing.T, data []byte) { _ = wasm.ParseManifest(data) })
}
