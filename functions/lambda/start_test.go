package main_test

import (
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// What the packages may allocate before main. An empty function has 234 allocations of 26 kB: what is above is paid for by
// every start.
const (
	maxInitAllocs    = 450
	maxInitBytes     = 120_000
	maxOwnInitAllocs = 32 // of one package of ours: errors, and nothing that is computed
)

func TestPackagesDoLittleBeforeMain(t *testing.T) {
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{Env: []string{"GODEBUG=inittrace=1"}})
	e.Kill() // all that it wrote has come then
	var allocs, bytes int
	for _, i := range proxytest.ParseInits(e.Log()) {
		allocs, bytes = allocs+i.Allocs, bytes+i.Bytes
		if strings.Contains(i.Package, "keyhole-edge/keyhole/") && i.Allocs > maxOwnInitAllocs {
			t.Errorf("%s allocates %d times before main, at most %d: do it when it is needed", i.Package, i.Allocs, maxOwnInitAllocs)
		}
	}
	if allocs == 0 || allocs > maxInitAllocs || bytes > maxInitBytes {
		t.Errorf("all packages allocate %d times, %d bytes, at most %d and %d", allocs, bytes, maxInitAllocs, maxInitBytes)
	}
}

// Whatever the function will ask of others, it asks when somebody asks for it.
func TestNothingIsCalledBeforeTheFirstEvent(t *testing.T) {
	f := newFunction(t)
	var calls atomic.Int32
	f.aws.Interpose(func(http.ResponseWriter, *http.Request, string) bool {
		calls.Add(1)
		return false
	})
	e := f.ready(t, lambdaemu.Config{})
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls before the first event", n)
	}
	f.read(t, e, "web/DB", "first", "miss")
	if calls.Load() == 0 {
		t.Error("the call for a secret was not seen either")
	}
}

// The builtin policy comes as machine code, for each level of processor that it was made for. On others, and in a build
// that has none, it is compiled, and the log says so.
func TestPolicyIsLoadedNotCompiled(t *testing.T) {
	const loaded, compiled = `"msg":"policies loaded","engine":"compiler","precompiled":1,"compiled":0`, `"msg":"policies loaded","engine":"compiler","precompiled":0,"compiled":1`
	debug := "KEYHOLE__LOG__LEVEL=debug"
	rows := []struct{ name, debug, env, want string }{{"this processor", debug, "", loaded}}
	made, err := filepath.Glob("../../policies/native/" + runtime.GOOS + "-" + runtime.GOARCH + "/*.system")
	switch {
	case err != nil:
		t.Fatal(err)
	case len(made) == 0:
		rows[0].debug, rows[0].want = "", compiled // make policies-native has not run
	case runtime.GOARCH == "amd64":
		rows = append(rows, struct{ name, debug, env, want string }{"a foreign processor", "", "GODEBUG=cpu.bmi2=off", compiled})
	}
	for _, row := range rows {
		f := newFunction(t)
		e := f.ready(t, lambdaemu.Config{Env: []string{row.debug, row.env}})
		f.read(t, e, "web/DB", "first", "miss")
		e.Kill()
		if !strings.Contains(e.Log(), row.want) {
			t.Errorf("%s: the log does not say %s:\n%s", row.name, row.want, e.Log())
		}
	}
}

// The other start, with the same policy loaded, says nothing: a line for each start would be paid for by the line.
func TestStartIsSilent(t *testing.T) {
	if made, _ := filepath.Glob("../../policies/native/" + runtime.GOOS + "-" + runtime.GOARCH + "/*.system"); len(made) == 0 {
		t.Skip("make policies-native has not run: a policy that is compiled is told of")
	}
	f := newFunction(t)
	e := f.ready(t, lambdaemu.Config{})
	e.Kill()
	if e.Log() != "" {
		t.Errorf("got %s", e.Log())
	}
}
