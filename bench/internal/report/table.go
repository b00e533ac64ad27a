package report

import "fmt"

const rowForm = "%-28s %12s  %-12s %12s %9s  %-16s %s\n"

func (r *Report) head(m Machine) {
	fmt.Fprintf(r.out, "machine  %s\ncpu      %s\nversions %s\ndate     %s\n\n", m.Machine, m.CPU, m.Versions, m.Date.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(r.out, rowForm, "name", "value", "unit", "baseline", "ratio", "budget", "within")
}

func (r *Report) row(res *Result) {
	within := "-"
	if ok, asked := res.Within(); asked {
		within = "NO"
		if ok {
			within = "yes"
		}
	}
	budget := res.Budget.String()
	if budget == "" {
		budget = "-"
	}
	fmt.Fprintf(r.out, rowForm, res.Name, number(res.Value), res.Unit, optional(res.Baseline), optional(res.Ratio), budget, within)
}

func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}
