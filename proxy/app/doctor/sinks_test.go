package doctor_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
)

// recordingIn is a set-up whose audit log is somewhere in AWS.
func recordingIn(t *testing.T, url, sink string, env map[string]string) doctor.Config {
	t.Helper()
	dir, c := setUp(t)
	edit(t, dir, "{type: file, path: audit/audit.jsonl, required: true}", "{"+sink+"}")
	return inAWS(t, c, url, env)
}

// Whether AWS would take records, one thing each. Nothing is added to what is read back.
func TestSinks(t *testing.T) {
	type set = map[string]string
	const (
		stream = "type: firehose, stream: records"
		table  = "type: dynamodb, table: records"
		sink   = "audit.sinks[0]"
	)
	for name, tt := range map[string]struct {
		sink        string
		env         set
		change      func(*awsemu.Server)
		status      doctor.Status
		where, what string
	}{
		"a stream": {stream, nil, func(s *awsemu.Server) {
			s.Attach(awsemu.AccessKey, allow("firehose:PutRecord", awsemu.StreamARN(awsemu.Region, "records")))
		}, doctor.OK, sink, "put records into the Firehose stream records"},
		"as a role":             {stream + ", role_arn: '" + awsRole + "open'", nil, nil, doctor.OK, sink, "it lets us assume " + awsRole + "open; put records"},
		"a role that is none":   {stream + ", role_arn: '" + awsRole + "none'", nil, nil, doctor.Fail, sink + ".role_arn", "may not be assumed"},
		"another stream":        {"type: firehose, stream: record", nil, nil, doctor.Fail, sink + ".stream", "there is no Firehose stream record in this region and account"},
		"another region":        {stream + ", region: us-east-2", nil, nil, doctor.Fail, sink + ".stream", "there is no Firehose stream records"},
		"a region's endpoint":   {stream + ", region: us-east-2", nil, func(s *awsemu.Server) { s.SetRegion(awsemu.Region) }, doctor.Fail, sink + ".endpoint", "another region than us-east-2"},
		"an unknown key":        {stream, set{"AWS_ACCESS_KEY_ID": "AKIDcanary"}, nil, doctor.Fail, sink, "does not know the access key"},
		"no PutRecord":          {stream, nil, func(s *awsemu.Server) { s.Attach(awsemu.AccessKey, allow("firehose:PutRecord", "arn:aws:s3:::none")) }, doctor.Fail, sink, "refuses firehose:PutRecord on records, for no identity-based policy allows it"},
		"too often":             {stream, nil, answer(400, `{"__type":"ThrottlingException","message":"canary"}`), doctor.Fail, sink, "ThrottlingException"},
		"a gateway":             {stream, nil, answer(200, `<html>canary`), doctor.Fail, sink + ".endpoint", "not one of AWS"},
		"a table":               {table, nil, answer(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`), doctor.OK, sink, "put records into the DynamoDB table records"},
		"no table":              {table, nil, answer(400, `{"__type":"ResourceNotFoundException","message":"canary"}`), doctor.Fail, sink + ".table", "there is no DynamoDB table records"},
		"a table of other keys": {table, nil, answer(400, `{"__type":"com.amazon.coral.validate#ValidationException","message":"canary"}`), doctor.Fail, sink + ".table", "does not take our records"},
		"no PutItem": {
			table, nil, answer(400, `{"__type":"AccessDeniedException","message":"canary is not authorized to perform: dynamodb:PutItem because no identity-based policy allows it"}`),
			doctor.Fail, sink, "refuses dynamodb:PutItem on records, for no identity-based policy allows it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			emu, url := awsemu.Start(t)
			emu.AddRole(awsemu.Role{ARN: awsRole + "open"})
			emu.PutStream(awsemu.Region, "records")
			if tt.change != nil {
				tt.change(emu)
			}
			wantOne(t, of(t, "audit", recordingIn(t, url, tt.sink, tt.env)), tt.status, tt.where, tt.what)
			if got := slices.Concat(emu.Delivered(awsemu.Region, "records")...); len(got) > 0 {
				t.Errorf("%q was put into the stream", got)
			}
		})
	}
}

// Where AWS is not reached, and where its clock is not ours.
func TestSinksFarAway(t *testing.T) {
	wantOne(t, of(t, "audit", recordingIn(t, "http://"+proxytest.Nobody(t), "type: firehose, stream: records", nil)), doctor.Fail, "audit.sinks[0].endpoint", "cannot connect")
	emu, url := awsemu.Start(t)
	emu.Interpose(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.Header().Set("Date", time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(400)
		fmt.Fprint(w, `{"__type":"ConditionalCheckFailedException"}`)
		return true
	})
	wantOne(t, of(t, "audit", recordingIn(t, url, "type: dynamodb, table: records", nil)), doctor.Warn, "audit.sinks[0]", "ahead of ours")
}

// A log in a file is looked at by other checks.
func TestSinkThatIsAFile(t *testing.T) {
	_, c := setUp(t)
	if got := of(t, "audit", c); len(got) > 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	if found := doctor.Examine(t.Context(), c); !slices.ContainsFunc(found, func(f doctor.Finding) bool {
		return f.Check == "permissions" && strings.Contains(f.What, "audit log") && filepath.Dir(c.File) == f.Where
	}) {
		t.Errorf("got %+v, want the audit log among what permissions were looked at", found)
	}
}
