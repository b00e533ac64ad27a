package wasm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

func precompile(t testing.TB, cfg wasm.Config) wasm.Made {
	t.Helper()
	native, err := wasm.Precompile(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return native
}

// wantCode checks where the machine code of a chain came from.
func wantCode(t *testing.T, c *wasm.Chain, precompiled, compiled uint64) {
	t.Helper()
	if s := c.Stats(); s.Precompiled != precompiled || s.Compiled != compiled {
		t.Errorf("got %d policies precompiled and %d compiled, want %d and %d", s.Precompiled, s.Compiled, precompiled, compiled)
	}
}

// wantDecision checks that the policy flat_prefix still allows what it should and nothing else.
func wantDecision(t *testing.T, c *wasm.Chain) {
	t.Helper()
	r := request(t)
	if d := c.Authorize(t.Context(), r); d.Effect != policy.Allow || d.Fault != nil {
		t.Errorf("got %v (%v), want allow", d.Effect, d.Fault)
	}
	r.Path = path(t, "elsewhere/X")
	if d := c.Authorize(t.Context(), r); d.Effect != policy.Deny || d.Fault != nil {
		t.Errorf("elsewhere: got %v (%v), want deny", d.Effect, d.Fault)
	}
}

// prefix is the policy flat_prefix; other is another module, although it decides nothing else.
func prefix(t testing.TB) wasm.Module { return guest(t, "flat_prefix", inputs()) }
func other(t testing.TB) wasm.Module  { return guest(t, "counter") }

func TestPrecompiledCodeIsLoaded(t *testing.T) {
	for _, isolation := range []wasm.Isolation{wasm.Pooled, wasm.Reset, wasm.Fresh} {
		t.Run(string(isolation), func(t *testing.T) {
			cfg := wasm.Config{Modules: []wasm.Module{prefix(t)}, Isolation: isolation}
			cfg.Native = precompile(t, cfg)
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := load(t, cfg)
			wantCode(t, c, 1, 0)
			wantDecision(t, c)
			if want := `msg="policies loaded" engine=compiler precompiled=1 compiled=0`; strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not say %q once:\n%s", want, log.String())
			}
		})
	}
}

func TestWhatIsMissingIsCompiled(t *testing.T) {
	cfg := wasm.Config{Modules: []wasm.Module{prefix(t)}}
	native := precompile(t, cfg)
	cfg.Modules = append(cfg.Modules, other(t))
	cfg.Native = native
	wantCode(t, load(t, cfg), 1, 1)

	// Reset makes another module of a policy that has variables.
	cfg = wasm.Config{Modules: []wasm.Module{other(t)}}
	cfg.Native = precompile(t, cfg)
	cfg.Isolation = wasm.Reset
	wantCode(t, load(t, cfg), 0, 1)

	wantCode(t, chain(t, prefix(t)), 0, 1)
}

// The engine handles a module that stands twice only once.
func TestEqualModulesCountAlike(t *testing.T) {
	twice := []wasm.Module{prefix(t), prefix(t)}
	twice[1].Name = "again"
	cfg := wasm.Config{Modules: twice}
	cfg.Native = precompile(t, cfg)
	wantCode(t, load(t, cfg), 2, 0)
	wantCode(t, load(t, wasm.Config{Modules: twice, Native: precompile(t, wasm.Config{Modules: []wasm.Module{other(t)}})}), 0, 2)
}

func TestPrecompilingIsDeterministic(t *testing.T) {
	cfg := wasm.Config{Modules: []wasm.Module{prefix(t), guest(t, "json_read", `"encoding":"json"`), other(t)}}
	want := precompile(t, cfg)
	if len(want) < 3 {
		t.Fatalf("got %d pieces of code for 3 policies", len(want))
	}
	for range 3 {
		if got := precompile(t, cfg); !reflect.DeepEqual(got, want) {
			t.Fatal("two runs differ")
		}
	}
}

// Code that was cut off, damaged or made by another version is never run: the policy is compiled, and decides.
func TestUnusableCodeIsCompiledAnew(t *testing.T) {
	cfg := wasm.Config{Modules: []wasm.Module{prefix(t)}}
	native := precompile(t, cfg)
	damaged := func(change func([]byte) []byte) wasm.Made {
		out := make(wasm.Made)
		for key, code := range native {
			if len(code) > 0 {
				code = change(bytes.Clone(code))
			}
			out[key] = code
		}
		return out
	}
	check := func(t *testing.T, native wasm.Made) {
		t.Helper()
		before := maps.Clone(native)
		cfg.Native = native
		c := load(t, cfg)
		wantCode(t, c, 0, 1)
		wantDecision(t, c)
		if !reflect.DeepEqual(native, before) {
			t.Error("the caller's map was changed")
		}
	}
	shortest := len(leastOf(native))
	for _, n := range []int{0, 1, 6, 7, 10, 15, 20, 40, shortest / 2, shortest - 5, shortest - 1} {
		check(t, damaged(func(code []byte) []byte { return code[:n] }))
	}
	t.Run("magic", func(t *testing.T) {
		check(t, damaged(func(code []byte) []byte { code[0] ^= 1; return code }))
	})
	t.Run("version", func(t *testing.T) {
		check(t, damaged(func(code []byte) []byte { code[7] ^= 1; return code }))
	})
	t.Run("length of version", func(t *testing.T) {
		check(t, damaged(func(code []byte) []byte { code[6] = 200; return code }))
	})
	t.Run("code", func(t *testing.T) {
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		check(t, damaged(func(code []byte) []byte { code[len(code)*2/3] ^= 1; return code }))
		cfg.Logger = nil
		if want := "machine code that came along is broken"; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say that %s:\n%s", want, &log)
		}
	})
	t.Run("other system", func(t *testing.T) {
		out := make(wasm.Made)
		for key, code := range native {
			if strings.HasSuffix(key, ".system") {
				key = "plan9-mips.system"
			}
			out[key] = code
		}
		if reflect.DeepEqual(out, native) {
			t.Fatal("nothing says which system the code is for")
		}
		check(t, out)
	})
	t.Run("under other keys", func(t *testing.T) {
		out := make(wasm.Made)
		for key, code := range native {
			if len(code) > 0 {
				key = strings.ToUpper(key)
			}
			out[key] = code
		}
		check(t, out)
	})
}

// leastOf is the shortest piece.
func leastOf(n wasm.Made) (shortest []byte) {
	for _, code := range n {
		if len(code) > 0 && (shortest == nil || len(code) < len(shortest)) {
			shortest = code
		}
	}
	return shortest
}

// Machine code is of the rewritten module: it still pays for what it does.
func TestPrecompiledCodePaysFuel(t *testing.T) {
	for _, name := range []string{"endless", "calltree"} {
		m := withManifest(wattest.Load(t, hostileDir)[name], name)
		cfg := wasm.Config{Modules: []wasm.Module{m}}
		cfg.Native = precompile(t, cfg)
		c := load(t, cfg)
		wantCode(t, c, 1, 0)
		if d := c.Authorize(t.Context(), request(t)); d.Effect != policy.Deny || d.Fault == nil || !strings.Contains(d.Fault.Error(), wasm.ErrFuel.Error()) {
			t.Errorf("%s: got %v (%v), want a denial for lack of fuel", name, d.Effect, d.Fault)
		}
	}
}

// A module is validated before it is rewritten, unless it was when its code was made; what was rewritten always is.
func TestOriginalsAreValidatedOnce(t *testing.T) {
	bad := prefix(t)
	// policy_abi_version gives an i64 where an i32 is declared.
	bad.Wasm = bytes.Replace(bad.Wasm, []byte{0x41, 0x01, 0x0b}, []byte{0x42, 0x01, 0x0b}, 1)
	native := precompile(t, wasm.Config{Modules: []wasm.Module{prefix(t)}})
	if want := wasm.ValidName(prefix(t).Wasm); !slices.Contains(slices.Collect(maps.Keys(native)), want) {
		t.Errorf("nothing says that the policy was validated: %s is missing", want)
	}
	cfg := wasm.Config{Modules: []wasm.Module{bad}, Native: native}
	if _, err := wasm.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "validating") {
		t.Errorf("got %v, want an error about validating", err)
	}
	if _, err := wasm.Precompile(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "validating") {
		t.Errorf("Precompile: got %v, want an error about validating", err)
	}
	native[wasm.ValidName(bad.Wasm)] = nil
	if _, err := wasm.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "compiling") {
		t.Errorf("got %v, want an error about compiling", err)
	}
}

func TestPrecompileRefusesWhatNewRefuses(t *testing.T) {
	if _, err := wasm.Precompile(t.Context(), wasm.Config{}); err == nil {
		t.Error("got no error for a chain without policies")
	}
}

// Caches that are not built as wazero's are refused: then everything is compiled.
func TestFeedIsInstalledOnlyWhereItFits(t *testing.T) {
	if err := wasm.InstallFeed(wazero.NewCompilationCache()); err != nil {
		t.Errorf("wazero's own: %v", err)
	}
	for name, c := range map[string]wazero.CompilationCache{
		"nothing":              nil,
		"no pointer":           plain{},
		"nil pointer":          (*noField)(nil),
		"no field":             &noField{},
		"no interface":         &otherKind{},
		"an empty interface":   &anything{},
		"another interface":    &otherInterface{},
		"other method types":   &otherTypes{},
		"something there":      &filled{fileCache: something{}},
		"a pointer to nothing": (*filled)(nil),
	} {
		if err := wasm.InstallFeed(c); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

type (
	closer    struct{}
	plain     struct{ closer }
	noField   struct{ closer }
	otherKind struct {
		closer
		fileCache string //nolint:unused // looked up by its name
	}
	anything struct {
		closer
		fileCache any //nolint:unused // looked up by its name
	}
	otherInterface struct {
		closer
		fileCache io.Reader //nolint:unused // looked up by its name
	}
	otherTypes struct {
		closer
		fileCache interface { //nolint:unused // looked up by its name
			Get(key string) (io.ReadCloser, bool, error)
		}
	}
	filled struct {
		closer
		fileCache interface {
			Delete(key [sha256.Size]byte) error
		}
	}
	something struct{}
)

func (closer) Close(context.Context) error { return nil }

func (something) Delete([sha256.Size]byte) error { return nil }
