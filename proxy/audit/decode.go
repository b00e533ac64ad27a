package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// ErrNotRecord is wrapped where a line is not an audit record, or not written the one way that records are, or its hash
// does not match: it was damaged or edited, or the file is something else.
var ErrNotRecord = errors.New("not an audit record")

// Decode reads one line, with or without its newline, into rec, overwriting all of it. It takes only what Append wrote,
// byte for byte, and checks the line's own hash; only Verify can say whether the line belongs where it stands. Times come
// back in UTC with milliseconds, durations in the recorded unit. Every error wraps ErrNotRecord and quotes nothing.
func Decode(line []byte, rec *Record) error {
	var d decoder
	return d.decode(line, rec)
}

// decoder reads records; its buffer serves one line after the other.
type decoder struct {
	again []byte
	err   error
}

func (d *decoder) decode(line []byte, rec *Record) error {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	*rec = Record{}
	doc, err := strictjson.Parse(line, strictjson.Limits{Bytes: MaxLineBytes, Depth: 4, Nodes: 256})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecord, err)
	}
	d.err = nil
	d.record(doc, rec)
	if d.err != nil {
		return d.err
	}
	// What is unknown, repeated, out of order, too long or spelt otherwise does not come back from the encoder.
	d.again = appendDecoded(d.again[:0], rec)
	again := d.again[:len(d.again)-1]
	if bytes.Equal(line, again) {
		return nil
	}
	if i := bytes.LastIndex(again, []byte(hashMark)); len(line) == len(again) && bytes.Equal(line[:i], again[:i]) {
		return fmt.Errorf("%w: its hash does not match", ErrNotRecord)
	}
	return fmt.Errorf("%w: not in canonical form", ErrNotRecord)
}

func (d *decoder) record(doc *strictjson.Node, r *Record) {
	if doc.Kind != strictjson.Object {
		d.fail("not an object")
	}
	if v := doc.Get("v"); v == nil || d.uint(v) != 1 {
		d.fail(`"v" is not 1`)
	}
	c := &r.Chain
	for i := range doc.Members {
		switch n := &doc.Members[i].Value; doc.Members[i].Name {
		case "id":
			r.ID = d.id(n)
		case "kind":
			r.Kind = d.kind(n)
		case "ts":
			r.Time = d.time(n)
		case "region":
			c.Region = d.text(n)
		case "instance":
			c.Instance = d.text(n)
		case "seq":
			c.Seq = d.uint(n)
		case "prev_hash":
			d.hex(n, c.Prev[:])
		case "pair":
			r.Pair = d.id(n)
		case "continues":
			c.Continues = Place{d.text(n.Get("instance")), d.uint(n.Get("seq"))}
		case "rotated":
			c.Rotated = n.Kind == strictjson.Bool && n.Bool
		case "public_key":
			d.hex(n, c.PublicKey[:])
		case "torn_bytes":
			c.TornBytes = d.uint(n)
		case "count":
			r.Count = d.uint(n)
		case "principal":
			d.principal(n, &r.Principal)
		case "via":
			r.Via = Via{
				Surface: d.text(n.Get("surface")), SourceIP: d.text(n.Get("source_ip")),
				UserAgent: d.text(n.Get("user_agent")), RequestID: d.text(n.Get("request_id")),
				TraceID: d.text(n.Get("trace_id")),
			}
		case "action":
			r.Action = d.text(n)
		case "resource":
			r.Resource = Resource{
				Path: d.text(n.Get("path")), Version: d.text(n.Get("version")),
				Mount: d.text(n.Get("mount")), Classification: d.text(n.Get("classification")),
			}
		case "decision":
			r.Decision = Decision{
				Effect: d.text(n.Get("effect")), Rule: d.text(n.Get("rule")), Reason: d.text(n.Get("reason")),
				PolicyDigest: d.text(n.Get("policy_digest")), Approval: d.text(n.Get("approval")),
				Duration: d.duration(n.Get("duration_us"), time.Microsecond),
			}
		case "cache":
			r.Cache = Cache{
				State: d.text(n.Get("state")), Generation: d.uint(n.Get("generation")),
				Age: d.duration(n.Get("age_ms"), time.Millisecond),
			}
		case "result":
			d.result(n, &r.Result)
		case "anomaly":
			for i := range n.Elems {
				r.Anomaly = append(r.Anomaly, d.text(&n.Elems[i]))
			}
		case "key":
			c.KeyID = d.text(n)
		case "sig":
			d.hex(n, c.Signature[:])
		case "hash":
			d.hex(n, c.Hash[:])
		}
	}
	// The members that every record has: the encoder writes them whatever they hold.
	if r.ID == "" || r.Kind == "" || c.Instance == "" || c.Seq == 0 {
		d.fail("id, kind, instance or seq is missing")
	}
}

func (d *decoder) principal(n *strictjson.Node, p *Principal) {
	*p = Principal{
		Trust: d.text(n.Get("trust")), Issuer: d.text(n.Get("iss")), Subject: d.text(n.Get("sub")),
		TokenID: d.text(n.Get("token_id")), Cnf: d.text(n.Get("cnf")),
	}
	if ids := n.Get("ids"); ids != nil {
		for i := range ids.Elems {
			e := &ids.Elems[i]
			p.IDs = append(p.IDs, ID{d.text(e.Get("name")), d.text(e.Get("value"))})
		}
	}
}

func (d *decoder) result(n *strictjson.Node, r *Result) {
	*r = Result{
		Status: d.int(n.Get("status")), Code: d.text(n.Get("code")), Bytes: d.int(n.Get("bytes")),
		Examined: d.int(n.Get("examined")), Returned: d.int(n.Get("returned")),
	}
	if m := n.Get("value_mac"); m != nil {
		d.hex(m, r.ValueMAC[:])
	}
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrNotRecord, what)
	}
}

// The readers below take an absent member, nil, for the zero value.

func (d *decoder) text(n *strictjson.Node) string {
	if n == nil {
		return ""
	}
	s, ok := n.Str()
	if !ok {
		d.fail("a member is not a string")
	}
	return s
}

func (d *decoder) uint(n *strictjson.Node) uint64 {
	if n == nil {
		return 0
	}
	u, err := strconv.ParseUint(string(n.Text), 10, 64)
	if n.Kind != strictjson.Number || err != nil {
		d.fail("a member is not a number without sign")
	}
	return u
}

func (d *decoder) int(n *strictjson.Node) int {
	u := d.uint(n)
	if int(u) < 0 || uint64(int(u)) != u {
		d.fail("a number is too large")
		return 0
	}
	return int(u)
}

func (d *decoder) duration(n *strictjson.Node, unit time.Duration) time.Duration {
	const longest = 1<<63 - 1
	u := d.uint(n)
	if u > uint64(longest/unit) {
		d.fail("a duration is too long")
		return 0
	}
	return time.Duration(u) * unit
}

func (d *decoder) id(n *strictjson.Node) string {
	s := d.text(n)
	if !validID(s) {
		d.fail("an id is not a ULID")
	}
	return s
}

func (d *decoder) kind(n *strictjson.Node) Kind {
	k := Kind(d.text(n))
	if !k.valid() {
		d.fail("unknown kind")
	}
	return k
}

func (d *decoder) time(n *strictjson.Node) time.Time {
	t, err := time.Parse(timeLayout, d.text(n))
	if err != nil {
		d.fail("ts is not a time in UTC with milliseconds")
	}
	return t
}

func (d *decoder) hex(n *strictjson.Node, into []byte) {
	if n.Kind != strictjson.String || len(n.Text) != hex.EncodedLen(len(into)) {
		d.fail("a hash, MAC or signature has the wrong length")
		return
	}
	if _, err := hex.Decode(into, n.Text); err != nil {
		d.fail("a hash, MAC or signature is not hex")
	}
}
