package wasm

import (
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// result is the decoded answer of policy_eval.
type result struct {
	effect    policy.Effect
	code      uint16
	detail    bool
	cacheable bool
	ttl       uint32 // seconds
}

// decodeResult reads the result word: bits 0-7 effect, 8-23 rule code, 24 detail, 25 cacheable, 26-31 zero, 32-62 TTL,
// 63 zero.
func decodeResult(w uint64) (result, error) {
	r := result{
		effect:    policy.Effect(w & 0xff),
		code:      uint16(w >> 8),
		detail:    w>>24&1 != 0,
		cacheable: w>>25&1 != 0,
		ttl:       uint32(w >> 32 & 0x7fffffff),
	}
	if r.effect > policy.RequireApproval {
		return result{}, fmt.Errorf("%w: effect %d in %#016x", ErrOutput, w&0xff, w)
	}
	if w&0x80000000_fc000000 != 0 {
		return result{}, fmt.Errorf("%w: reserved bits are set in %#016x", ErrOutput, w)
	}
	return r, nil
}
