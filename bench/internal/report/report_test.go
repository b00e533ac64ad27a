package report_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

func open(t *testing.T) (r *report.Report, out *bytes.Buffer, file string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "results")
	out = &bytes.Buffer{}
	m := report.Machine{Machine: "linux/amd64, 2 CPUs", CPU: "a model", Versions: "go1, wazero v1", Date: time.Unix(0, 0)}
	r, err := report.Open(out, dir, "bench", m)
	if err != nil {
		t.Fatal(err)
	}
	return r, out, filepath.Join(dir, "bench.jsonl")
}

func TestResultsAreStoredAsLines(t *testing.T) {
	r, _, file := open(t)
	for _, res := range []report.Result{
		{Name: "a", Value: 60, Unit: "req/s", Baseline: report.Float(100), Ratio: report.Float(0.6), Budget: report.RatioAtLeast(0.7)},
		{Name: "b", Value: 2, Unit: "ns/op", Baseline: report.Float(4), Ratio: report.Float(0.5), Against: "a map"},
		report.New("c", 12.5, "MB", report.ValueAtMost(40)),
	} {
		if err := r.Add(res); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a","value":60,"unit":"req/s","baseline":100,"ratio":0.6,"budget":"ratio >= 0.7","within":false}
{"name":"b","value":2,"unit":"ns/op","baseline":4,"ratio":0.5,"budget":null,"within":null}
{"name":"c","value":12.5,"unit":"MB","baseline":null,"ratio":null,"budget":"value <= 40","within":true}
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestTableShowsMachineRowsAndNotes(t *testing.T) {
	r, out, _ := open(t)
	err := r.Add(report.Result{
		Name: "hot", Value: 31234.5, Unit: "req/s", Baseline: report.Float(65000.25), Ratio: report.Float(0.48051),
		Budget: report.RatioAtLeast(0.7), Against: "a bare handler", Notes: []string{"measured by wrk"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 CPUs", "a model", "wazero v1", "1970-01-01 00:00 UTC", "hot: against a bare handler", "hot: measured by wrk"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	var row []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "hot ") {
			row = strings.Fields(line)
		}
	}
	if want := []string{"hot", "31234", "req/s", "65000", "0.4805", "ratio", ">=", "0.7", "NO"}; !reflect.DeepEqual(row, want) {
		t.Errorf("got row %q, want %q", row, want)
	}
}

func TestBudgetsAreJudgedByTheNumbers(t *testing.T) {
	for _, row := range []struct {
		name       string
		res        report.Result
		within, ok bool
	}{
		{"none", report.New("x", 1, "", report.Budget{}), false, false},
		{"value at the limit", report.New("x", 2000, "", report.ValueAtMost(2000)), true, true},
		{"value above", report.New("x", 2000.1, "", report.ValueAtMost(2000)), false, true},
		{"no ratio", report.New("x", 1, "", report.RatioAtMost(2)), false, true},
		{"ratio at most", report.Result{Ratio: report.Float(2.01), Budget: report.RatioAtMost(2)}, false, true},
		{"ratio at least", report.Result{Ratio: report.Float(0.7), Budget: report.RatioAtLeast(0.7)}, true, true},
		{"zero allocations", report.New("x", 0, "", report.ValueAtMost(0)), true, true},
	} {
		if within, ok := row.res.Within(); within != row.within || ok != row.ok {
			t.Errorf("%s: got %v, %v, want %v, %v", row.name, within, ok, row.within, row.ok)
		}
	}
}

func TestBadResultsAreRefused(t *testing.T) {
	r, _, file := open(t)
	if err := r.Add(report.New("nan", math.NaN(), "", report.Budget{})); err == nil {
		t.Error("a result that is no number was taken")
	}
	if err := r.Add(report.New("one", 1, "", report.Budget{})); err != nil {
		t.Fatal(err)
	}
	if err := r.Add(report.New("one", 2, "", report.Budget{})); err == nil {
		t.Error("a second result of the same name was taken")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var only struct{ Name string }
	if err := json.Unmarshal(text, &only); err != nil || only.Name != "one" {
		t.Errorf("got %q, want the one good line (%v)", text, err)
	}
}

func TestThisMachineSaysWhatItCan(t *testing.T) {
	m := report.ThisMachine("github.com/tetratelabs/wazero")
	if m.CPU == "" || !strings.Contains(m.Versions, "go1.") || !strings.Contains(m.Machine, "CPUs") || m.Date.IsZero() {
		t.Errorf("got %+v", m)
	}
}
