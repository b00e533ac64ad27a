package awssink

import (
	"context"
	"encoding/base64"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

// maxRecord is the most that one record of a stream holds, before base64 (Amazon Data Firehose, "Quotas").
const maxRecord = 1000 << 10

// NewFirehose makes a sink that puts each batch as one record into a stream, lines and all, so that the objects which the
// stream delivers are lines one after another. Firehose may deliver a record twice and out of order: verify what it
// delivers as collected lines. An attempt that is made again with the same bytes does no more than that.
func NewFirehose(c Config) (*Sink, error) {
	s, err := open(c, awsjson.Service{Name: "firehose", Target: "Firehose_20150804."}, "Firehose stream")
	if err != nil {
		return nil, err
	}
	s.most = maxRecord
	// An empty record is one (API reference, "Record"), and adds nothing to what the stream delivers.
	s.question = question{name: c.Name, key: "stream", call: putRecord(c.Name, nil)}
	s.put = func(ctx context.Context, part []byte) error { return s.putRecord(ctx, c.Name, part) }
	return s, nil
}

// putRecord takes the id of the record for the acknowledgement.
func (s *Sink) putRecord(ctx context.Context, stream string, part []byte) error {
	answer, err := s.client.Call(ctx, putRecord(stream, part))
	if err != nil {
		return err
	}
	if id, ok := answer.Get("RecordId").Str(); !ok || id == "" {
		return awsjson.ErrMalformed
	}
	return nil
}

func putRecord(stream string, data []byte) awsjson.Request {
	body := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+len(stream)+64)
	body = jsontext.AppendString(append(body, `{"DeliveryStreamName":`...), stream)
	body = base64.StdEncoding.AppendEncode(append(body, `,"Record":{"Data":"`...), data)
	return awsjson.Request{Action: "PutRecord", Body: append(body, `"}}`...), Most: maxAnswer}
}
