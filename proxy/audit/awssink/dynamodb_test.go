package awssink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/audit/awssink"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/dynalitetest"
)

// table is the audit table of a DynamoDB.
type table struct {
	url    string
	client *awsjson.Client
}

func newTable(t *testing.T, url string) *table {
	t.Helper()
	c := config(url).AWS
	c.Service = awsjson.Service{Name: "dynamodb", Target: "DynamoDB_20120810.", Version: "1.0"}
	client, err := awsjson.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	d := &table{url, client}
	d.call(t, "CreateTable", `{"TableName":"`+name+`","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"instance","AttributeType":"S"},{"AttributeName":"seq","AttributeType":"N"}],
		"KeySchema":[{"AttributeName":"instance","KeyType":"HASH"},{"AttributeName":"seq","KeyType":"RANGE"}]}`)
	return d
}

func (d *table) call(t *testing.T, action, body string) {
	t.Helper()
	answer, err := d.client.Call(context.Background(), awsjson.Request{Action: action, Body: []byte(body), Most: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	answer.Wipe()
}

// forward carries a call out.
func (d *table) forward(w http.ResponseWriter, r *http.Request) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, d.url, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header, req.ContentLength = r.Header.Clone(), r.ContentLength
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// scan is what "aws dynamodb scan" prints.
func (d *table) scan(t *testing.T) []byte {
	t.Helper()
	type page struct {
		Items            []json.RawMessage
		LastEvaluatedKey json.RawMessage `json:",omitempty"`
	}
	var all page
	for start := ""; ; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url, strings.NewReader(`{"TableName":"`+name+`","ConsistentRead":true`+start+`}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.0")
		req.Header.Set("X-Amz-Target", "DynamoDB_20120810.Scan")
		req.Header.Set("X-Amz-Date", "20260101T000000Z")
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/"+awsemu.Region+"/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var p page
		err = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("scan: status %d, %v", resp.StatusCode, err)
		}
		all.Items = append(all.Items, p.Items...)
		if p.LastEvaluatedKey == nil {
			break
		}
		start = `,"ExclusiveStartKey":` + string(p.LastEvaluatedKey)
	}
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *table) sources(t *testing.T) (out []audit.Source) {
	t.Helper()
	var all struct {
		Items []struct{ Lines struct{ S string } }
	}
	if err := json.Unmarshal(d.scan(t), &all); err != nil {
		t.Fatal(err)
	}
	for _, i := range all.Items {
		out = append(out, audit.Source{Name: "item", Reader: strings.NewReader(i.Lines.S)})
	}
	return out
}

// last keeps what was written last.
type last struct {
	audit.Sink
	batch []byte
}

func (l *last) Write(batch []byte) error {
	l.batch = bytes.Clone(batch)
	return l.Sink.Write(batch)
}

// Nothing that stands in the table is overwritten by something else; the same is taken once more.
func TestDynamoDBOverwritesNothing(t *testing.T) {
	s := dynamoDB(t)
	kept := &last{Sink: s.sink(t)}
	begin := func(sink audit.Sink) (*audit.Log, error) {
		l, err := audit.New(audit.Config{Sink: sink, Key: audittest.Key(), Instance: "one"})
		if err != nil {
			t.Fatal(err)
		}
		return l, appended(l)
	}
	l, err := begin(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Sink.Write(kept.batch); err != nil {
		t.Errorf("the same again: %v", err)
	}
	other, err := begin(s.sink(t))
	if !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, awsjson.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	closeLog(t, l)
	closeLog(t, other) // as another instance
	if r := verify(t, s); r.Instances != 2 || !r.Sealed || r.Repeated != 0 {
		t.Errorf("got %+v", r)
	}
}

// What the page says of reading a table back gives lines that verify.
func TestDynamoDBReadsBack(t *testing.T) {
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Skip("there is no jq")
	}
	table := newTable(t, dynalitetest.Start(t))
	sink, err := awssink.NewDynamoDB(config(table.url))
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, sink)
	for range 3 {
		if err := appended(l); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	cmd := exec.CommandContext(t.Context(), jq, "-j", ".Items[].lines.S")
	cmd.Stdin = bytes.NewReader(table.scan(t))
	lines, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.VerifyCollected([]audit.Source{{Name: "scan", Reader: bytes.NewReader(lines)}}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil || r.Records != 3+2 || !r.Sealed {
		t.Errorf("got %+v, %v", r, err)
	}
}

// What a table is asked stores nothing, and tells one that is not as it must be.
func TestDynamoDBCheckup(t *testing.T) {
	s := newTable(t, dynalitetest.Start(t))
	s.call(t, "CreateTable", `{"TableName":"other-keys","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`)
	for place, want := range map[string]string{
		name:         "put records into the DynamoDB table " + name,
		"other-keys": "the DynamoDB table other-keys does not take our records",
		"none":       "there is no DynamoDB table none in this region and account",
	} {
		c := config(s.url)
		c.Name = place
		sink, err := awssink.NewDynamoDB(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sink.Close() })
		got := sink.Checkup(t.Context())
		said := got.Good
		for _, trouble := range got.Troubles {
			said = append(said, trouble.What)
		}
		if len(said) != 1 || said[0] != want || (place == name) != (len(got.Good) == 1) {
			t.Errorf("%s: got %+v, want %q", place, got, want)
		}
	}
	if items := s.sources(t); len(items) != 0 {
		t.Errorf("the table has %d items, want none", len(items))
	}
}
