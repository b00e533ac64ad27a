package report

// Budget is a limit on a value or on a ratio.
type Budget struct {
	ratio, least bool
	limit        *float64 // nil: none
}

// RatioAtLeast wants Ratio >= limit.
func RatioAtLeast(limit float64) Budget { return Budget{ratio: true, least: true, limit: &limit} }

// RatioAtMost wants Ratio <= limit.
func RatioAtMost(limit float64) Budget { return Budget{ratio: true, limit: &limit} }

// ValueAtMost wants Value <= limit, in the unit of the result.
func ValueAtMost(limit float64) Budget { return Budget{limit: &limit} }

// String is the budget as the table and the JSON line show it, "" where there is none.
func (b Budget) String() string {
	if b.limit == nil {
		return ""
	}
	s := "value"
	if b.ratio {
		s = "ratio"
	}
	if b.least {
		return s + " >= " + number(*b.limit)
	}
	return s + " <= " + number(*b.limit)
}
