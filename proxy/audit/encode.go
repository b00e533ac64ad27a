package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Limits of a record, in bytes of UTF-8 after invalid bytes were replaced by U+FFFD. Longer texts are cut before the
// character that would pass the limit; further ids and anomalies are left out. MaxUserAgent and MaxReason stand with
// the record.
const (
	MaxIDs       = 16 // entries of Principal.IDs
	MaxAnomalies = 16 // entries of Anomaly

	maxWord  = 64  // surface, source_ip, action, effect, cache state, code, classification, kind, approval, id names, anomalies
	maxName  = 128 // trust, token_id, cnf, request_id, trace_id, version, policy_digest, region, instance
	maxLong  = 256 // rule, values of ids
	maxPath  = 512 // path, mount, iss, sub
	maxULID  = 26
	hashMark = `,"hash":"`
	sigMark  = `,"sig":"`
)

// MaxLineBytes bounds one record, the newline included: no record that the limits above let through is longer.
const MaxLineBytes = 80 << 10

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// appendBody appends a line up to its anomalies: everything but key, sig and hash.
func appendBody(dst []byte, r *Record, c *Chain) []byte {
	dst = append(dst, `{"v":1,"id":`...)
	dst = appendQuoted(dst, r.ID, maxULID)
	dst = append(dst, `,"kind":`...)
	dst = appendQuoted(dst, string(r.Kind), maxWord)
	dst = append(dst, `,"ts":"`...)
	dst = appendTime(dst, r.Time)
	dst = append(dst, '"')
	dst = appendText(dst, 0, `"region":`, c.Region, maxName)
	dst = append(dst, `,"instance":`...)
	dst = appendQuoted(dst, c.Instance, maxName)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, c.Seq, 10)
	dst = append(dst, `,"prev_hash":"`...)
	dst = hex.AppendEncode(dst, c.Prev[:])
	dst = append(dst, '"')

	dst = appendText(dst, 0, `"pair":`, r.Pair, maxULID)
	mark, open := len(dst), 0
	dst, open = openObject(dst, `,"continues":{`)
	dst = appendText(dst, open, `"instance":`, c.Continues.Instance, maxName)
	dst = appendUint(dst, open, `"seq":`, c.Continues.Seq)
	dst = closeObject(dst, mark, open)
	if c.Rotated {
		dst = append(dst, `,"rotated":true`...)
	}
	if c.PublicKey != (Key{}) {
		dst = append(dst, `,"public_key":"`...)
		dst = append(hex.AppendEncode(dst, c.PublicKey[:]), '"')
	}
	dst = appendUint(dst, 0, `"torn_bytes":`, c.TornBytes)
	dst = appendUint(dst, 0, `"count":`, r.Count)

	dst = appendPrincipal(dst, &r.Principal)
	dst = appendVia(dst, &r.Via)
	dst = appendText(dst, 0, `"action":`, r.Action, maxWord)
	dst = appendResource(dst, &r.Resource)
	dst = appendDecision(dst, &r.Decision)
	dst = appendCache(dst, &r.Cache)
	dst = appendResult(dst, &r.Result)
	return appendAnomalies(dst, r.Anomaly)
}

func appendPrincipal(dst []byte, p *Principal) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"principal":{`)
	dst = appendText(dst, open, `"trust":`, p.Trust, maxName)
	dst = appendText(dst, open, `"iss":`, p.Issuer, maxPath)
	dst = appendText(dst, open, `"sub":`, p.Subject, maxPath)
	if ids := p.IDs[:min(len(p.IDs), MaxIDs)]; len(ids) > 0 {
		dst = appendKey(dst, open, `"ids":[`)
		for i := range ids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"name":`...)
			dst = appendQuoted(dst, ids[i].Name, maxWord)
			dst = append(dst, `,"value":`...)
			dst = appendQuoted(dst, ids[i].Value, maxLong)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = appendText(dst, open, `"token_id":`, p.TokenID, maxName)
	dst = appendText(dst, open, `"cnf":`, p.Cnf, maxName)
	return closeObject(dst, mark, open)
}

func appendVia(dst []byte, v *Via) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"via":{`)
	dst = appendText(dst, open, `"surface":`, v.Surface, maxWord)
	dst = appendText(dst, open, `"source_ip":`, v.SourceIP, maxWord)
	dst = appendText(dst, open, `"user_agent":`, v.UserAgent, MaxUserAgent)
	dst = appendText(dst, open, `"request_id":`, v.RequestID, maxName)
	dst = appendText(dst, open, `"trace_id":`, v.TraceID, maxName)
	return closeObject(dst, mark, open)
}

func appendResource(dst []byte, r *Resource) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"resource":{`)
	dst = appendText(dst, open, `"path":`, r.Path, maxPath)
	dst = appendText(dst, open, `"version":`, r.Version, maxName)
	dst = appendText(dst, open, `"mount":`, r.Mount, maxPath)
	dst = appendText(dst, open, `"classification":`, r.Classification, maxWord)
	return closeObject(dst, mark, open)
}

func appendDecision(dst []byte, d *Decision) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"decision":{`)
	dst = appendText(dst, open, `"effect":`, d.Effect, maxWord)
	dst = appendText(dst, open, `"rule":`, d.Rule, maxLong)
	dst = appendText(dst, open, `"reason":`, d.Reason, MaxReason)
	dst = appendText(dst, open, `"policy_digest":`, d.PolicyDigest, maxName)
	dst = appendUint(dst, open, `"duration_us":`, count(d.Duration/time.Microsecond))
	dst = appendText(dst, open, `"approval":`, d.Approval, maxWord)
	return closeObject(dst, mark, open)
}

func appendCache(dst []byte, c *Cache) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"cache":{`)
	dst = appendText(dst, open, `"state":`, c.State, maxWord)
	dst = appendUint(dst, open, `"age_ms":`, count(c.Age/time.Millisecond))
	dst = appendUint(dst, open, `"generation":`, c.Generation)
	return closeObject(dst, mark, open)
}

func appendResult(dst []byte, r *Result) []byte {
	mark := len(dst)
	dst, open := openObject(dst, `,"result":{`)
	dst = appendUint(dst, open, `"status":`, count(r.Status))
	dst = appendText(dst, open, `"code":`, r.Code, maxWord)
	dst = appendUint(dst, open, `"bytes":`, count(r.Bytes))
	if r.ValueMAC != (MAC{}) {
		dst = appendKey(dst, open, `"value_mac":"`)
		dst = hex.AppendEncode(dst, r.ValueMAC[:])
		dst = append(dst, '"')
	}
	dst = appendUint(dst, open, `"examined":`, count(r.Examined))
	dst = appendUint(dst, open, `"returned":`, count(r.Returned))
	return closeObject(dst, mark, open)
}

func appendAnomalies(dst []byte, a []string) []byte {
	a = a[:min(len(a), MaxAnomalies)]
	if len(a) == 0 {
		return dst
	}
	dst = append(dst, `,"anomaly":[`...)
	for i := range a {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, a[i], maxWord)
	}
	return append(dst, ']')
}

// appendKeyID and appendSignature follow the body of signed records.
func appendKeyID(dst []byte, id string) []byte {
	dst = append(dst, `,"key":`...)
	return appendQuoted(dst, id, maxWord)
}

func appendSignature(dst []byte, sig *[ed25519.SignatureSize]byte) []byte {
	dst = append(dst, sigMark...)
	dst = hex.AppendEncode(dst, sig[:])
	return append(dst, '"')
}

// appendHash ends the line that began at start with its hash.
func appendHash(dst []byte, start int) ([]byte, Hash) {
	h := Hash(sha256.Sum256(dst[start:]))
	dst = append(dst, hashMark...)
	dst = hex.AppendEncode(dst, h[:])
	return append(dst, '"', '}', '\n'), h
}

// appendDecoded writes a decoded record again: what the line must have been.
func appendDecoded(dst []byte, r *Record) []byte {
	start := len(dst)
	dst = appendBody(dst, r, &r.Chain)
	if signed(r.Kind) {
		dst = appendKeyID(dst, r.Chain.KeyID)
		dst = appendSignature(dst, &r.Chain.Signature)
	}
	dst, _ = appendHash(dst, start)
	return dst
}

// signedDigest is the DIGEST of a signed line.
func signedDigest(line []byte) Hash {
	body, _, _ := bytes.Cut(line, []byte(sigMark))
	return sha256.Sum256(body)
}

// appendTime writes RFC 3339 in UTC with milliseconds. The general formatter of package time takes four times as long.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Time{} // RFC 3339 has four digits for the year
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(appendDigits(dst, year, 4), '-')
	dst = append(appendDigits(dst, int(month), 2), '-')
	dst = append(appendDigits(dst, day, 2), 'T')
	dst = append(appendDigits(dst, hour, 2), ':')
	dst = append(appendDigits(dst, minute, 2), ':')
	dst = append(appendDigits(dst, second, 2), '.')
	return append(appendDigits(dst, t.Nanosecond()/int(time.Millisecond), 3), 'Z')
}

// appendDigits writes the last width decimal digits of n.
func appendDigits(dst []byte, n, width int) []byte {
	for range width {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; width > 0; i, width, n = i-1, width-1, n/10 {
		dst[i] += byte(n % 10)
	}
	return dst
}

// openObject begins an object whose first member will stand at open; closeObject takes the object back if it stayed empty.
func openObject(dst []byte, head string) (out []byte, open int) {
	dst = append(dst, head...)
	return dst, len(dst)
}

func closeObject(dst []byte, mark, open int) []byte {
	if len(dst) == open {
		return dst[:mark]
	}
	return append(dst, '}')
}

func appendKey(dst []byte, open int, key string) []byte {
	if len(dst) > open {
		dst = append(dst, ',')
	}
	return append(dst, key...)
}

func appendText(dst []byte, open int, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	return appendQuoted(appendKey(dst, open, key), s, limit)
}

func appendUint(dst []byte, open int, key string, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendUint(appendKey(dst, open, key), n, 10)
}

// count makes a number of what cannot be negative.
func count[T ~int | ~int64](n T) uint64 { return uint64(max(n, 0)) }
