package main_test

import (
	"bytes"
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

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// killRounds is how often the server is killed under load.
const killRounds = 8

// After each SIGKILL every acknowledged write is there, every answer has its record, and the log verifies.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	written := map[string]int{} // last acknowledged version by path
	answered := map[string]bool{}
	for round := range killRounds {
		p := dev(t, dir)
		token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "write:load/** read:load/**"})
		for path, version := range written {
			if got := currentVersion(t, p, token, path); got < version {
				t.Fatalf("round %d: %s is at version %d, but %d was acknowledged", round, path, got, version)
			}
		}
		load(t, p, token, round, written, answered)
	}
	p := dev(t, dir)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir, "--require-seal")
	log, err := os.ReadFile(filepath.Join(dir, "audit", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(answered) == 0 || len(written) == 0 {
		t.Fatal("nothing was answered before the kills")
	}
	for id := range answered {
		if !bytes.Contains(log, []byte(`"id":"`+id+`"`)) {
			t.Errorf("decision %s was answered and has no record", id)
		}
	}
}

// load writes and reads from several callers until the server is killed under them.
func load(t *testing.T, p *proxytest.Process, token string, round int, written map[string]int, answered map[string]bool) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	enough := make(chan struct{})
	n := 0
	limit := 20 + rand.IntN(100)
	for w := range 4 {
		wg.Go(func() {
			client := &http.Client{Timeout: proxytest.Patience}
			defer client.CloseIdleConnections()
			path := fmt.Sprintf("load/w%d", w)
			for i := 0; ; i++ {
				method, body := http.MethodGet, io.Reader(nil)
				if i%2 == 0 {
					method, body = http.MethodPut, strings.NewReader(`{"value":"r`+strconv.Itoa(round)+`"}`)
				}
				req, err := http.NewRequest(method, p.Server.Native+"/v1/secrets/"+path, body)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+token)
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					return // killed
				}
				answer, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					return
				}
				mu.Lock()
				answered[resp.Header.Get("X-Keyhole-Decision")] = true
				if method == http.MethodPut {
					written[path] = versionIn(t, answer)
				}
				if n++; n == limit {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(proxytest.Patience):
		t.Error("the server answers too little")
	}
	p.Kill(t)
	wg.Wait()
}

func versionIn(t *testing.T, answer []byte) int {
	var a struct {
		Data struct{ Version string }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Errorf("answer %s: %v", answer, err)
	}
	v, err := strconv.Atoi(a.Data.Version)
	if err != nil {
		t.Errorf("answer %s: %v", answer, err)
	}
	return v
}

func currentVersion(t *testing.T, p *proxytest.Process, token, path string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.Server.Native+"/v1/secrets/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: proxytest.Patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: got %d %s (%v)", path, resp.StatusCode, answer, err)
	}
	return versionIn(t, answer)
}
