package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

var errDisk = errors.New("no space left on device")

// drawLog writes a log of random shape: restarts, kills, failed writes, several files.
func drawLog(t *rapid.T) []string {
	m := &audittest.Memory{}
	m.Rotate(rapid.SampledFrom([]int{0, 2000, 5000}).Draw(t, "rotate"))
	for run := range rapid.IntRange(1, 3).Draw(t, "runs") {
		instance := fmt.Sprintf("node-%d", run)
		if rapid.Bool().Draw(t, "same name") {
			instance = "node"
		}
		l, err := audit.New(audit.Config{
			Sink: m, Key: audittest.Key(), Instance: instance, CheckpointInterval: time.Hour,
			CheckpointEvery: rapid.IntRange(1, 6).Draw(t, "every"),
		})
		if err != nil {
			t.Fatal(err)
		}
		failures := 0
		for range rapid.IntRange(0, 10).Draw(t, "appends") {
			if failures == 0 && rapid.IntRange(0, 9).Draw(t, "fail") == 0 { // more would have to wait
				failures++
				m.Fail(errDisk, rapid.IntRange(0, 3000).Draw(t, "stored"))
				if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, errDisk) {
					t.Fatalf("Append to a failing sink: %v", err)
				}
				m.Fail(nil, 0)
			}
			if err := l.Append(context.Background(), audittest.Access()); err != nil {
				t.Fatal(err)
			}
		}
		killed := m.Crash()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "killed") {
			m = killed
		}
	}
	var files []string
	for _, s := range m.Sources() {
		var b bytes.Buffer
		_, _ = b.ReadFrom(s.Reader)
		files = append(files, b.String())
	}
	return files
}

// spot is one line of a log.
type spot struct{ file, line int }

// counted lists the lines that are part of the log, up to and with the last signature: all but the abandoned ones.
func counted(t *rapid.T, files [][]string) []spot {
	var all []spot
	signed := 0
	for f, lines := range files {
		var until string
		if f+1 < len(files) {
			until = decode(t, files[f+1][0]).Chain.Prev.String()
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, "\n") {
				break
			}
			all = append(all, spot{f, i})
			r := decode(t, line)
			if k := r.Kind; k == audit.Birth || k == audit.Checkpoint || k == audit.Seal {
				signed = len(all)
			}
			if r.Chain.Hash.String() == until {
				break
			}
		}
	}
	return all[:signed]
}

func decode(t rapid.TB, line string) *audit.Record {
	var r audit.Record
	if err := audit.Decode([]byte(line), &r); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return &r
}

func verifyText(files []string) (audit.Report, error) {
	var sources []audit.Source
	for i, f := range files {
		sources = append(sources, audit.Source{Name: fmt.Sprint(i), Reader: strings.NewReader(f)})
	}
	return audit.Verify(sources, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
}

func TestVerifyFindsEveryEdit(t *testing.T) {
	edited := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		texts := drawLog(t)
		if _, err := verifyText(texts); err != nil {
			t.Fatalf("the log as written: %v", err)
		}
		files := make([][]string, len(texts))
		for i := range texts {
			files[i] = strings.SplitAfter(texts[i], "\n")
			if n := len(files[i]) - 1; files[i][n] == "" {
				files[i] = files[i][:n]
			}
		}
		all := counted(t, files)
		if len(all) < 2 {
			t.Skip("nothing before the last signature")
		}
		at := rapid.IntRange(0, len(all)-2).Draw(t, "line") // the last signature itself may be cut off unseen
		s := all[at]
		line := files[s.file][s.line]
		replace := func(with ...string) {
			lines := files[s.file]
			files[s.file] = append(append(append([]string(nil), lines[:s.line]...), with...), lines[s.line+1:]...)
		}
		edit := rapid.SampledFrom([]string{
			"flip", "drop", "repeat", "swap", "cut line", "cut file", "insert", "rewrite", "drop file", "swap files", "flip last",
		}).Draw(t, "edit")
		switch edit {
		case "flip":
			replace(flip(t, line, len(line)))
		case "flip last":
			s = all[len(all)-1]
			line = files[s.file][s.line]
			replace(flip(t, line, len(line)-1)) // without its newline it may be a line that is being written
		case "drop":
			replace()
		case "repeat":
			replace(line, line)
		case "swap":
			o := all[rapid.IntRange(0, len(all)-1).Draw(t, "other")]
			if o == s {
				t.Skip("swapped with itself")
			}
			files[s.file][s.line], files[o.file][o.line] = files[o.file][o.line], line
		case "cut line":
			replace(line[:rapid.IntRange(0, len(line)-1).Draw(t, "cut")])
		case "cut file":
			if s.file == all[len(all)-1].file {
				t.Skip("cuts off the end")
			}
			files[s.file] = append(files[s.file][:s.line:s.line], line[:rapid.IntRange(0, len(line)-1).Draw(t, "cut")])
		case "insert":
			if all[at+1].file != s.file {
				t.Skip("looks like the rest of a failed write")
			}
			other := files[rapid.IntRange(0, len(files)-1).Draw(t, "from file")]
			replace(line, rapid.SampledFrom(append([]string{"\n", "{}\n", "x", "\x00\n"}, other...)).Draw(t, "inserted"))
		case "rewrite":
			rewrite(t, files, all, at)
		case "drop file":
			if s.file == all[len(all)-1].file {
				t.Skip("cuts off the end")
			}
			files = append(files[:s.file:s.file], files[s.file+1:]...)
		case "swap files":
			o := rapid.IntRange(0, len(files)-1).Draw(t, "other file")
			if o == s.file {
				t.Skip("swapped with itself")
			}
			files[s.file], files[o] = files[o], files[s.file]
		}
		edited[edit]++
		r, err := verifyText(joined(files))
		var bad *audit.BadLine
		if !errors.Is(err, audit.ErrTampered) || !errors.As(err, &bad) || bad.Line < 1 {
			t.Fatalf("%s at line %d of file %d of %d: Verify = %+v, %v; want a *BadLine", edit, s.line+1, s.file+1, len(files), r, err)
		}
	})
	t.Log("edits tried:", edited)
}

func joined(files [][]string) []string {
	var out []string
	for _, lines := range files {
		out = append(out, strings.Join(lines, ""))
	}
	return out
}

func flip(t *rapid.T, line string, n int) string {
	b := []byte(line)
	b[rapid.IntRange(0, n-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	return string(b)
}

// rewrite changes one record and forges everything after it that needs no key.
func rewrite(t *rapid.T, files [][]string, all []spot, at int) {
	old := map[string]string{} // hash as it was: as it is now
	for i, s := range all[at:] {
		line := files[s.file][s.line]
		hash := decode(t, line).Chain.Hash.String()
		body, _, _ := strings.Cut(line, `,"hash":"`)
		if i == 0 {
			body = strings.Replace(body, `"ts":"2`, `"ts":"1`, 1)
		}
		for was, is := range old {
			body = strings.Replace(body, `"prev_hash":"`+was, `"prev_hash":"`+is, 1)
		}
		sum := sha256.Sum256([]byte(body))
		old[hash] = hex.EncodeToString(sum[:])
		files[s.file][s.line] = body + `,"hash":"` + old[hash] + "\"}\n"
		decode(t, files[s.file][s.line])
	}
}
