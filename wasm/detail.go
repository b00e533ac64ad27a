package wasm

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Bounds of a detail document.
const (
	maxDetailBytes   = 16 << 10
	maxReasonBytes   = 256
	maxApprovers     = 32
	maxApproverBytes = 256
	maxVotes         = 32
)

// detail is what a policy adds to its result word.
type detail struct {
	reason      string
	rule        string
	obligations *policy.Obligations
}

func parseDetail(data []byte) (detail, error) {
	var d detail
	doc, err := parseStrict(data)
	if err == nil {
		err = fields(doc, map[string]func(node) error{
			"reason": func(n node) error {
				s, err := asString(n)
				d.reason = sanitise([]byte(s), maxReasonBytes)
				return err
			},
			"rule": func(n node) (err error) {
				if d.rule, err = asString(n); err != nil {
					return err
				}
				return checkRuleName(d.rule)
			},
			"obligations": func(n node) (err error) {
				d.obligations, err = parseObligations(n)
				return err
			},
		})
	}
	if err != nil {
		return detail{}, fmt.Errorf("%w: detail: %w", ErrOutput, err)
	}
	return d, nil
}

func parseObligations(n node) (*policy.Obligations, error) {
	o := &policy.Obligations{N: defaultVotes}
	err := fields(n, map[string]func(node) error{
		"approvers": func(n node) (err error) {
			o.Approvers, err = parseApprovers(n)
			return err
		},
		"n": func(n node) error {
			i, err := asInt(n, 1, maxVotes)
			o.N = int(i)
			return err
		},
		"max_ttl": func(n node) error {
			i, err := asInt(n, 1, math.MaxInt32)
			o.MaxTTL = time.Duration(i) * time.Second
			return err
		},
	})
	return o, err
}

func parseApprovers(n node) ([]string, error) {
	list, err := asArray(n)
	if err != nil {
		return nil, err
	}
	if len(list) > maxApprovers {
		return nil, fmt.Errorf("%d entries, at most %d are allowed", len(list), maxApprovers)
	}
	var out []string
	for i := range list {
		s, err := asString(&list[i])
		if err != nil {
			return nil, err
		}
		if s == "" || len(s) > maxApproverBytes || !printable(s) {
			return nil, fmt.Errorf("%.80q is not 1-%d printable bytes", s, maxApproverBytes)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
