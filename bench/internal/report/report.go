// Package report prints what benchmarks measured, beside what it is measured against, and keeps it as JSON lines. Its law:
// whether a budget is met is computed from the printed numbers, never claimed.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Result is one line. Its JSON form is one line of TARGET.jsonl; the other fields are for readers of the table.
type Result struct {
	Name     string
	Value    float64
	Unit     string   // of Value and Baseline
	Baseline *float64 // nil where there is nothing to compare with
	Ratio    *float64 // Value to Baseline, the median of the pairs that were measured together
	Budget   Budget   // the zero Budget asks for nothing

	Against string // what the baseline is
	Notes   []string
}

// New is a result without a baseline.
func New(name string, value float64, unit string, b Budget) Result {
	return Result{Name: name, Value: value, Unit: unit, Budget: b}
}

// Within says whether the budget is met; ok is false where there is none. A ratio that was not measured meets nothing.
func (r *Result) Within() (within, ok bool) {
	if r.Budget.limit == nil {
		return false, false
	}
	v := r.Value
	if r.Budget.ratio {
		if r.Ratio == nil {
			return false, true
		}
		v = *r.Ratio
	}
	if r.Budget.least {
		return v >= *r.Budget.limit, true
	}
	return v <= *r.Budget.limit, true
}

// line is the JSON form: null for what does not apply, and "<" as people write it.
func (r *Result) line() ([]byte, error) {
	line := struct {
		Name     string   `json:"name"`
		Value    float64  `json:"value"`
		Unit     string   `json:"unit"`
		Baseline *float64 `json:"baseline"`
		Ratio    *float64 `json:"ratio"`
		Budget   *string  `json:"budget"`
		Within   *bool    `json:"within"`
	}{Name: r.Name, Value: r.Value, Unit: r.Unit, Baseline: r.Baseline, Ratio: r.Ratio}
	if within, ok := r.Within(); ok {
		text := r.Budget.String()
		line.Budget, line.Within = &text, &within
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(line)
	return b.Bytes(), err
}

// Report takes results as they come: each is printed and stored at once, so that a later failure loses none.
type Report struct {
	out   io.Writer
	file  *os.File
	notes []string
	known map[string]bool
}

// Open begins dir/TARGET.jsonl anew and prints the head of the table.
func Open(out io.Writer, dir, target string, m Machine) (*Report, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of results: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, target+".jsonl"))
	if err != nil {
		return nil, fmt.Errorf("opening the results: %w", err)
	}
	r := &Report{out: out, file: f, known: map[string]bool{}}
	r.head(m)
	return r, nil
}

// Add prints and stores one result. A number that is not finite is a defect of its benchmark.
func (r *Report) Add(res Result) error {
	if r.known[res.Name] {
		return fmt.Errorf("result %s is reported twice", res.Name)
	}
	r.known[res.Name] = true
	line, err := res.line()
	if err != nil {
		return fmt.Errorf("result %s: %w", res.Name, err)
	}
	r.row(&res)
	if res.Against != "" {
		r.notes = append(r.notes, res.Name+": against "+res.Against)
	}
	for _, n := range res.Notes {
		r.notes = append(r.notes, res.Name+": "+n)
	}
	if _, err := r.file.Write(line); err != nil {
		return fmt.Errorf("storing result %s: %w", res.Name, err)
	}
	return nil
}

// Skip says that results are missing, and why. Nothing is stored.
func (r *Report) Skip(names, why string) error {
	_, err := fmt.Fprintf(r.out, "skipped: %s: %s\n", names, why)
	return err
}

// Close prints the notes and closes the file.
func (r *Report) Close() error {
	_, err := fmt.Fprintln(r.out)
	for _, n := range r.notes {
		_, e := fmt.Fprintln(r.out, n)
		err = errors.Join(err, e)
	}
	return errors.Join(err, r.file.Close())
}

// Float is a value for the optional fields of a Result.
func Float(v float64) *float64 { return &v }

// number prints v with four digits that count: more would pretend that the machine was quiet.
func number(v float64) string {
	switch {
	case v >= 1000 || v <= -1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
