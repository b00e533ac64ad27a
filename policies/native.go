package policies

// Native is the machine code of the builtin policies that was made before this program was built, for package wasm: as
// much of it as there was, and nothing on systems other than linux/amd64 and linux/arm64. It is as trustworthy as the
// program, which it is a part of.
type Native struct{}

// Code is what stands under a key of package wasm, in bytes that are the caller's own: most keys are for other policies
// or processors than those of one start, and are never read.
func (Native) Code(key string) (code []byte, ok bool) {
	if nativeDir == "" {
		return nil, false
	}
	code, err := native.ReadFile(nativeDir + "/" + key)
	return code, err == nil
}
