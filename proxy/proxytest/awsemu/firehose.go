package awsemu

import (
	"bytes"
	"net/http"
	"strconv"
)

// maxRecord is the most that a record holds before base64 (Amazon Data Firehose, "Quotas").
const maxRecord = 1000 << 10

// PutStream makes a Firehose stream in a region.
func (s *Server) PutStream(region, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		s.streams = map[place][][]byte{}
	}
	s.streams[place{region, name}] = [][]byte{}
}

// Delivered is what a stream has taken, record by record, in the order in which it came. What a stream delivers is them one
// after another in any order, and some of them more than once.
func (s *Server) Delivered(region, name string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][]byte, 0, len(s.streams[place{region, name}]))
	for _, r := range s.streams[place{region, name}] {
		out = append(out, bytes.Clone(r))
	}
	return out
}

// StreamARN is the ARN of a Firehose stream.
func StreamARN(region, name string) string {
	return "arn:aws:firehose:" + region + ":" + Account + ":deliverystream/" + name
}

func (s *Server) putRecord(who identity, body []byte, may func(string) *failure) (any, *failure) {
	var in struct {
		DeliveryStreamName string
		Record             *struct{ Data []byte }
	}
	if fail := read(body, &in); fail != nil {
		return nil, fail
	}
	if fail := may(in.DeliveryStreamName); fail != nil {
		return nil, fail
	}
	at := place{who.region, in.DeliveryStreamName}
	records, ok := s.streams[at]
	switch {
	case in.Record == nil || in.Record.Data == nil: // an empty one is one
		return nil, invalid("1 validation error detected: Value at 'record.data' failed to satisfy constraint: Member must not be null")
	case len(in.Record.Data) > maxRecord:
		return nil, invalid("1 validation error detected: Value at 'record.data' failed to satisfy constraint: Member must have length less than or equal to 1024000")
	case !ok:
		return nil, &failure{http.StatusBadRequest, "ResourceNotFoundException", "Firehose " + in.DeliveryStreamName + " under account " + Account + " not found."}
	}
	s.streams[at] = append(records, in.Record.Data)
	s.numbers++
	return struct {
		Encrypted bool
		RecordID  string `json:"RecordId"`
	}{false, "emulated-" + strconv.Itoa(s.numbers)}, nil
}
