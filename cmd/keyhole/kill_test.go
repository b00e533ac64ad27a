package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// kills is how often servers are killed under load, all durabilities together; KEYHOLE_KILLS says otherwise.
func kills(t *testing.T) int {
	text := os.Getenv("KEYHOLE_KILLS")
	switch {
	case text == "" && underRace:
		return 60 // the servers are not: it would watch the clients alone
	case text == "":
		return 200
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2 {
		t.Fatalf("KEYHOLE_KILLS is %q, want a number from 2", text)
	}
	return n
}

// killDocument has files that are full after a fraction of a second, so that some kills fall between two.
const killDocument = `version: 1
listen: {native: "127.0.0.1:0", admin: "127.0.0.1:0"}
identity:
  issuer: https://keyhole.test
  audience: https://keyhole.test
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
upstreams:
  local: {type: embedded, path: vault.db, key: "file:keys/master.key"}
mounts:
  - {path: load, upstream: local, at: load}
state: {type: file, path: state.db}
audit:
  durability: %s
  key: file:keys/audit.key
  sinks:
    - {type: file, path: audit/audit.jsonl, rotate: 32KiB, keep: 100000}
`

// After each SIGKILL every acknowledged write is there with its value, every answer has its record, and the log verifies.
func TestKillLosesNothing(t *testing.T) {
	rounds := kills(t) / 2
	for _, durability := range []string{"process", "strict"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			proxytest.WriteDocument(t, dir, fmt.Sprintf(killDocument, durability))
			h := killed{dir: dir, written: map[string]written{}, answered: map[string]bool{}}
			for round := range rounds {
				h.start(t)
				h.intact(t, round)
				h.load(t, round)
				if t.Failed() {
					return
				}
			}
			h.start(t)
			h.intact(t, rounds)
			if code := h.server.Stop(t); code != 0 {
				t.Fatalf("got exit code %d", code)
			}
			h.recorded(t, rounds)
		})
	}
}

// written is a write that was answered.
type written struct {
	version int
	value   string
}

// killed is a directory whose servers are killed, and what they have answered.
type killed struct {
	dir    string
	server *proxytest.Process
	token  string

	mu       sync.Mutex
	written  map[string]written // the last by path
	answered map[string]bool    // decisions
}

func (h *killed) start(t *testing.T) {
	t.Helper()
	h.server = proxytest.StartBinary(t, bin, h.dir, "serve", "--config", filepath.Join(h.dir, devdir.ConfigFile), "--log-level", "warn")
	h.token = proxytest.Issuer(h.server.Config)(t, map[string]string{"scope": "write:load/** read:load/**"})
}

// intact holds the vault against what was acknowledged.
func (h *killed) intact(t *testing.T, round int) {
	t.Helper()
	client := &http.Client{Timeout: proxytest.Patience}
	defer client.CloseIdleConnections()
	for path, w := range h.written {
		a, err := h.do(client, http.MethodGet, path, "")
		if err != nil || a.status != http.StatusOK || a.version < w.version {
			t.Fatalf("round %d: %s: got %+v (%v), but version %d was acknowledged", round, path, a, err, w.version)
		}
		if a, err = h.do(client, http.MethodGet, path+"?version="+strconv.Itoa(w.version), ""); err != nil || a.value != w.value {
			t.Fatalf("round %d: version %d of %s: got %+v (%v), want %q", round, w.version, path, a, err, w.value)
		}
	}
}

// load writes, reads and is refused from several callers until the server is killed under them.
func (h *killed) load(t *testing.T, round int) {
	t.Helper()
	var wg sync.WaitGroup
	enough := make(chan struct{})
	n, limit := 0, 5+rand.IntN(80)
	refused, counted := 1, round%10 != 0
	if !counted {
		refused = 8 // until so many are refused in a second that they are counted
	}
	for w := range 3 + refused {
		wg.Go(func() {
			client := &http.Client{Timeout: proxytest.Patience}
			defer client.CloseIdleConnections()
			for i := 0; ; i++ {
				method, path, value := http.MethodGet, fmt.Sprintf("load/w%d", w), ""
				switch {
				case w >= 3:
					path = "elsewhere/X"
				case i%2 == 0:
					method, value = http.MethodPut, fmt.Sprintf("round %d, %d", round, i)
				}
				a, err := h.do(client, method, path, value)
				if err != nil {
					return // killed
				}
				h.mu.Lock()
				counted = counted || h.answered[a.decision] // one decision for two answers
				h.answered[a.decision] = true
				switch {
				case w >= 3 && a.status != http.StatusForbidden, w < 3 && a.status/100 != 2:
					t.Errorf("%s %s: got %+v", method, path, a)
				case value != "":
					h.written[path] = written{a.version, value}
				}
				if n++; counted && n >= limit && limit > 0 {
					limit = 0
					close(enough)
				}
				h.mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(proxytest.Patience):
		t.Error("the server answers too little")
	}
	h.server.Kill(t)
	wg.Wait()
}

// recorded holds the log against what was answered.
func (h *killed) recorded(t *testing.T, rounds int) {
	t.Helper()
	out, _ := keyhole(t, 0, "", "audit", "verify", "--dir", h.dir, "--require-seal", "-o", "json")
	var report struct {
		Files     []string
		Crashes   int `json:"unsealed_instances"`
		Rotations int
		Failures  int `json:"sink_failures"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if report.Crashes != rounds || report.Rotations == 0 || report.Failures != 0 {
		t.Errorf("verify tells of %d crashes, %d rotations, %d failures; want %d, some and none", report.Crashes, report.Rotations, report.Failures, rounds)
	}
	inLog := map[string]bool{}
	counted := 0
	for _, name := range report.Files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		err = audit.Scan(f, func(_ []byte, r *audit.Record) error {
			inLog[r.ID] = true
			if r.Kind == audit.Aggregate {
				counted++
			}
			return nil
		})
		_ = f.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(h.answered) < rounds || len(h.written) == 0 || counted == 0 {
		t.Fatalf("%d decisions were answered, %d paths written, %d aggregates recorded: too little to tell", len(h.answered), len(h.written), counted)
	}
	for id := range h.answered {
		if !inLog[id] {
			t.Errorf("decision %s was answered and has no record", id)
		}
	}
	t.Logf("%d kills, %d decisions answered, %d records in %d files, %d aggregates", rounds, len(h.answered), len(inLog), len(report.Files), counted)
}

// answer is what came back.
type answer struct {
	status   int
	version  int
	value    string
	decision string
}

func (h *killed) do(client *http.Client, method, path, value string) (a answer, err error) {
	var body io.Reader
	if value != "" {
		body = strings.NewReader(`{"value":"` + value + `"}`)
	}
	req, err := http.NewRequest(method, h.server.Server.Native+"/v1/secrets/"+path, body)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.status, a.decision = resp.StatusCode, resp.Header.Get("X-Keyhole-Decision")
	var doc struct {
		Data struct{ Version, Value string }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return a, fmt.Errorf("answer %s: %w", text, err)
	}
	a.version, _ = strconv.Atoi(doc.Data.Version)
	a.value = doc.Data.Value
	return a, nil
}
