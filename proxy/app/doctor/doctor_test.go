package doctor_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// setUp makes a directory with a vault in it, as a server leaves it.
func setUp(t *testing.T) (dir string, c doctor.Config) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	proxytest.WriteDocument(t, dir, "")
	text := read(t, dir, "keys/master.key")
	key, err := embedded.ParseKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := embedded.Open(embedded.Config{Path: filepath.Join(dir, "vault.db"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	drivers := full.Drivers()
	drivers.Native = proxytest.Native(t)
	return dir, doctor.Config{Drivers: drivers, File: filepath.Join(dir, devdir.ConfigFile), Environ: []string{"PATH=x"}}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, dir, name string, m os.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), m); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, dir, old, text string) {
	t.Helper()
	before := read(t, dir, devdir.ConfigFile)
	if !strings.Contains(before, old) {
		t.Fatalf("the document does not hold %q", old)
	}
	put(t, dir, devdir.ConfigFile, strings.Replace(before, old, text, 1))
}

// tree is every file of a directory, with its mode, time and content.
func tree(t *testing.T, dir string) (out string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out += fmt.Sprint(path, info.Mode(), info.ModTime().UnixNano(), info.Size(), "\n")
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			out += string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAGoodSetUp(t *testing.T) {
	dir, c := setUp(t)
	before := tree(t, dir)
	found := doctor.Examine(t.Context(), c)
	var names []string
	for _, f := range found {
		names = append(names, f.Check)
		if f.Status != doctor.OK || f.Fix != "" {
			// The machine's own disk may be nearly full.
			if f.Check != "disk" {
				t.Errorf("got %+v, want ok", f)
			}
		}
	}
	if want := []string{"configuration", "permissions", "clock", "port", "port", "keys", "disk", "policy"}; !slices.Equal(slices.Compact(slices.Clone(names)), slices.Compact(want)) {
		t.Errorf("checks %v, want %v", names, want)
	}
	if tree(t, dir) != before {
		t.Error("something was changed")
	}
}

// Each thing that can be wrong is told of by its check, once, with the place and what to do, and nothing is changed.
func TestWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	remove := func(name string) func(*testing.T, string, *doctor.Config) {
		return func(t *testing.T, dir string, _ *doctor.Config) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, m os.FileMode) func(*testing.T, string, *doctor.Config) {
		return func(t *testing.T, dir string, _ *doctor.Config) {
			chmod(t, dir, name, m)
		}
	}
	for name, c := range map[string]struct {
		break_ func(t *testing.T, dir string, c *doctor.Config)
		check  string
		status doctor.Status
		want   string // in what, where or what to do
	}{
		"no configuration": {remove(devdir.ConfigFile), "configuration", doctor.Fail, "there is no configuration"},
		"a bad configuration": {
			func(t *testing.T, dir string, _ *doctor.Config) { edit(t, dir, "version: 1", "versoin: 1") },
			"configuration", doctor.Fail, "keyhole.yaml:1",
		},
		"an unknown variable": {
			func(_ *testing.T, _ string, c *doctor.Config) { c.Environ = []string{"KEYHOLE__NONE=1"} },
			"configuration", doctor.Fail, "KEYHOLE__NONE",
		},
		"what is not supported": {func(t *testing.T, dir string, _ *doctor.Config) {
			edit(t, dir, "state: {", "telemetry: {otlp: \"https://otlp.test\"}\nstate: {")
		}, "configuration", doctor.Fail, "telemetry.otlp"},
		"a readable signing key":   {mode("keys/signing.pem", 0o640), "permissions", doctor.Fail, "chmod 600 "},
		"a readable vault":         {mode("vault.db", 0o604), "permissions", doctor.Fail, "vault.db"},
		"public keys to write":     {mode("keys/jwks.json", 0o666), "permissions", doctor.Fail, "chmod go-w "},
		"a configuration to write": {mode(devdir.ConfigFile, 0o620), "permissions", doctor.Fail, "others may write it"},
		"a directory to write":     {mode("", 0o777), "permissions", doctor.Fail, "others may write in it"},
		"a directory of keys, too": {mode("keys", 0o770), "permissions", doctor.Fail, "keys"},
		"a clock that was not set": {func(_ *testing.T, _ string, c *doctor.Config) { c.Wall = func() time.Time { return time.Unix(0, 0) } }, "clock", doctor.Fail, "1970"},
		"a clock that was set back": {func(_ *testing.T, _ string, c *doctor.Config) {
			c.Wall = func() time.Time { return time.Now().Add(-time.Hour) }
		}, "clock", doctor.Fail, "set back"},
		"a port in use": {func(t *testing.T, dir string, _ *doctor.Config) {
			edit(t, dir, `native: "127.0.0.1:0"`, `native: "`+taken.Addr().String()+`"`)
		}, "port", doctor.Fail, "stop what listens there"},
		"no signing key": {remove("keys/signing.pem"), "keys", doctor.Fail, "signing.pem"},
		"no audit key":   {remove("keys/audit.key"), "keys", doctor.Fail, "audit.key"},
		"no public keys": {remove("keys/jwks.json"), "keys", doctor.Fail, "jwks.json"},
		"public keys that do not fit": {func(t *testing.T, dir string, _ *doctor.Config) {
			other, _ := setUp(t)
			put(t, dir, "keys/jwks.json", read(t, other, "keys/jwks.json"))
		}, "keys", doctor.Fail, "public half"},
		"a lost master key": {remove("keys/master.key"), "keys", doctor.Fail, "every value in "},
		"another master key": {func(t *testing.T, dir string, _ *doctor.Config) {
			other, _ := setUp(t)
			put(t, dir, "keys/master.key", read(t, other, "keys/master.key"))
		}, "keys", doctor.Fail, "not this vault's"},
		"a broken master key": {func(t *testing.T, dir string, _ *doctor.Config) {
			put(t, dir, "keys/master.key", strings.TrimSpace(read(t, dir, "keys/master.key"))[:30])
		}, "keys", doctor.Fail, "invalid master key"},
		"a vault that was cut off": {func(t *testing.T, dir string, _ *doctor.Config) {
			if err := os.Truncate(filepath.Join(dir, "vault.db"), 9000); err != nil {
				t.Fatal(err)
			}
		}, "keys", doctor.Fail, "keyhole vault restore"},
		"no vault":                {remove("vault.db"), "keys", doctor.Warn, "makes an empty one"},
		"an interrupted rekey":    {func(t *testing.T, dir string, _ *doctor.Config) { put(t, dir, "keys/master.key.new", "x") }, "keys", doctor.Warn, "keyhole vault rekey"},
		"an interrupted rotation": {func(t *testing.T, dir string, _ *doctor.Config) { put(t, dir, "keys/signing.pem.old", "x") }, "keys", doctor.Warn, "keyhole key rotate"},
		"audit files that need too much": {func(t *testing.T, dir string, _ *doctor.Config) {
			edit(t, dir, "required: true}", "required: true, rotate: 1TiB, keep: 100000}")
		}, "disk", doctor.Warn, "keep or rotate"},
		"no directory for the log": {func(t *testing.T, dir string, _ *doctor.Config) {
			edit(t, dir, "audit/audit.jsonl", "elsewhere/audit.jsonl")
		}, "disk", doctor.Fail, "mkdir"},
		"a bad policy": {
			func(t *testing.T, dir string, _ *doctor.Config) { edit(t, dir, "default: abstain", "default: maybe") },
			"policy", doctor.Fail, "chain",
		},
		"no policy file": {func(t *testing.T, dir string, _ *doctor.Config) {
			edit(t, dir, "bundle: builtin:scope", "{bundle: file:none.wasm, unsigned: true}")
		}, "policy", doctor.Fail, "none.wasm"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, config := setUp(t)
			secrets := []string{}
			for _, file := range []string{"keys/master.key", "keys/signing.pem", "keys/audit.key"} {
				text := read(t, dir, file)
				secrets = append(secrets, text[len(text)/2:len(text)/2+12])
			}
			c.break_(t, dir, &config)
			before := tree(t, dir)
			found := doctor.Examine(t.Context(), config)
			if tree(t, dir) != before {
				t.Error("something was changed")
			}
			report, err := json.Marshal(found)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range secrets {
				if strings.Contains(string(report), s) {
					t.Error("a key is shown")
				}
			}
			hits := 0
			for _, f := range found {
				if f.Status == doctor.OK || f.Check == "disk" && c.check != "disk" {
					continue
				}
				if c.check == "permissions" && f.Check == "keys" {
					continue // a server does not take such a key
				}
				if f.Check != c.check || f.Status != c.status || f.Fix == "" && f.Where == "" {
					t.Errorf("got %+v, want only a %s of %s", f, c.status, c.check)
				}
				if strings.Contains(f.What+f.Where+f.Fix, c.want) {
					hits++
				}
			}
			if hits == 0 {
				t.Errorf("nothing says %q: %s", c.want, report)
			}
			if want := c.status == doctor.Fail; (doctor.Worst(found) == doctor.Fail) != want {
				t.Errorf("the worst is %s", doctor.Worst(found))
			}
		})
	}
}
