// Pack appends a policy's manifest to its module as the custom section keyhole.policy:
//
//	pack MODULE.wasm MANIFEST.json OUT.wasm
//
// The same inputs always give the same bytes. The manifest is made compact, not judged: the host does that at load.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

const section = "keyhole.policy"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: pack MODULE.wasm MANIFEST.json OUT.wasm")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(module, manifest, out string) error {
	m, err := os.ReadFile(module)
	if err != nil {
		return fmt.Errorf("reading the module: %w", err)
	}
	doc, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	packed, err := pack(m, doc)
	if err != nil {
		return fmt.Errorf("packing %s: %w", module, err)
	}
	if err := os.WriteFile(out, packed, 0o644); err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	return nil
}

func pack(module, manifest []byte) ([]byte, error) {
	if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, errors.New("not a WebAssembly module")
	}
	if bytes.Contains(module, []byte(section)) {
		return nil, errors.New("the module has a manifest already")
	}
	var doc bytes.Buffer
	if err := json.Compact(&doc, manifest); err != nil {
		return nil, fmt.Errorf("the manifest is not JSON: %w", err)
	}
	body := append([]byte{byte(len(section))}, section...)
	body = append(body, doc.Bytes()...)
	packed := append(bytes.Clone(module), 0) // id 0: a custom section
	packed = binary.AppendUvarint(packed, uint64(len(body)))
	return append(packed, body...), nil
}
