package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/tetratelabs/wazero"
)

// errNoStore means that chains compile at load, whatever Native they are given.
var errNoStore = errors.New("the engine takes no machine code from memory")

// feed gives the engine machine code while a chain is loaded. wazero asks a store before it compiles a module, and
// offers the store what it compiled. Its own store is a directory, which it also writes; this one is memory.
type feed struct {
	native Native          // what there is; nil: nothing
	broken map[string]bool // what of it the engine does not take
	made   Made            // collects what was compiled; nil where nobody wants it

	cache wazero.CompilationCache // nil where the engine does not ask this feed

	// What happened to the last module.
	given string // the key of what was handed out; empty if nothing was
	added bool   // something was compiled
}

// wanted says whether the engine should know this feed.
func (f *feed) wanted() bool { return f.native != nil || f.made != nil }

// install puts the feed where c keeps its store. wazero has no public way to do that, so it is done by reflection, and
// only where the field is what it was when this was written: an interface that the feed satisfies, with nothing in it.
func (f *feed) install(c wazero.CompilationCache) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errNoStore, p)
		}
	}()
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return errNoStore
	}
	field := v.Elem().FieldByName("fileCache")
	if !field.IsValid() || field.Kind() != reflect.Interface || field.Type().NumMethod() == 0 || !field.IsNil() ||
		!reflect.TypeOf(f).Implements(field.Type()) {
		return errNoStore
	}
	reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(f))
	f.cache = c
	return nil
}

// compile has r make a module runnable. Code that r does not take is reported, forgotten and made anew.
func (f *feed) compile(ctx context.Context, r wazero.Runtime, wasm []byte) (m wazero.CompiledModule, broken, err error) {
	f.given, f.added = "", false
	m, err = compileModule(ctx, r, wasm)
	if err != nil && f.given != "" {
		broken = err
		f.forget(f.given)
		f.given, f.added = "", false
		m, err = compileModule(ctx, r, wasm)
	}
	return m, broken, err
}

// used says whether what was handed out last is what runs.
func (f *feed) used() bool { return f.given != "" && !f.added }

// Get hands out the code for a key.
func (f *feed) Get(key [sha256.Size]byte) (content io.ReadCloser, ok bool, err error) {
	name := hex.EncodeToString(key[:])
	if f.native == nil || f.broken[name] {
		return nil, false, nil
	}
	code, ok := f.native.Code(name)
	if !ok {
		return nil, false, nil
	}
	f.given = name
	return &codeReader{code}, true, nil
}

// codeReader is read by wazero, which closes it. (io.NopCloser would first ask what else a reader can do, which takes longer
// than the reading.)
type codeReader struct{ left []byte }

// Read implements io.Reader.
func (c *codeReader) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (*codeReader) Close() error { return nil }

// Add takes what was compiled.
func (f *feed) Add(key [sha256.Size]byte, content io.Reader) error {
	f.added = true
	if f.made == nil {
		return nil
	}
	code, err := io.ReadAll(content)
	if err != nil {
		return fmt.Errorf("keeping machine code: %w", err)
	}
	f.made[hex.EncodeToString(key[:])] = code
	return nil
}

// Delete is called for code of another version, before its module is compiled.
func (f *feed) Delete(key [sha256.Size]byte) error {
	f.forget(hex.EncodeToString(key[:]))
	return nil
}

func (f *feed) forget(name string) {
	if f.broken == nil {
		f.broken = make(map[string]bool)
	}
	f.broken[name] = true
}

// validName is the key in a Native which says that Precompile validated this original.
func validName(original []byte) string {
	sum := sha256.Sum256(original)
	return hex.EncodeToString(sum[:]) + ".valid"
}

// validated says whether an original was found valid when its code was made. What comes out of the rewriting is
// validated at each load in any case.
func (f *feed) validated(original []byte) bool {
	if f.native == nil {
		return false
	}
	_, ok := f.native.Code(validName(original))
	return ok
}

// noteValid keeps for later that an original is valid.
func (f *feed) noteValid(original []byte) {
	if f.made != nil {
		f.made[validName(original)] = nil
	}
}

// fedRuntime frees with the runtime what wazero leaves to the owner of the cache.
type fedRuntime struct {
	wazero.Runtime
	cache wazero.CompilationCache
}

// Close closes the runtime first: it still uses the code.
func (r *fedRuntime) Close(ctx context.Context) error {
	return errors.Join(r.Runtime.Close(ctx), r.cache.Close(ctx))
}
