package policies

import (
	"fmt"
	"strings"
)

// Native is the machine code of the builtin policies that was made before this program was built, for package wasm: as
// much of it as there was, and nothing on systems other than linux/amd64 and linux/arm64. It is as trustworthy as the
// program, which it is a part of. The bytes are the caller's own copy.
func Native() (map[string][]byte, error) {
	if nativeDir == "" {
		return nil, nil
	}
	entries, err := native.ReadDir(nativeDir)
	if err != nil {
		return nil, fmt.Errorf("listing machine code: %w", err)
	}
	code := make(map[string][]byte, len(entries))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // it keeps the directory in the repository
		}
		if code[e.Name()], err = native.ReadFile(nativeDir + "/" + e.Name()); err != nil {
			return nil, fmt.Errorf("reading machine code: %w", err)
		}
	}
	return code, nil
}
