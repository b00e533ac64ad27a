package wasm

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// chainDigest is the SHA-256 over, for each policy in order, the SHA-256 of its module and the SHA-256 of its data. Data
// decides as much as code does, and equal lengths keep neighbours apart.
type chainDigest struct{ h hash.Hash }

func newChainDigest() chainDigest { return chainDigest{sha256.New()} }

func (d chainDigest) add(m Module) {
	code, data := sha256.Sum256(m.Wasm), sha256.Sum256(m.Data)
	d.h.Write(code[:])
	d.h.Write(data[:])
}

func (d chainDigest) sum() string { return "sha256:" + hex.EncodeToString(d.h.Sum(nil)) }
