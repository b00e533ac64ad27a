package awssink

import (
	"bytes"
	"context"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

// maxItem is the most lines of one item. An item has 400 KB, names of attributes included ("Quotas in Amazon DynamoDB");
// what stands beside the lines takes less than 1 KiB.
const maxItem = 399 << 10

// The attributes of an item. The first two are the key of the table: partition and sort key.
const (
	attrInstance = "instance" // S
	attrSeq      = "seq"      // N: of the first line
	attrLines    = "lines"    // S: whole lines, each with its newline
	attrHash     = "hash"     // S: of the last line, which stands for all of them
)

// condition lets an item be put where there is none, or the same: an attempt that is made again finds its own item.
const condition = `,"ConditionExpression":"attribute_not_exists(#i) OR #h = :h","ExpressionAttributeNames":{"#i":"` + attrInstance + `","#h":"` + attrHash + `"},"ExpressionAttributeValues":{":h":{"S":"`

// NewDynamoDB makes a sink that puts each batch as one item into a table with the partition key "instance" (string) and
// the sort key "seq" (number). No item is overwritten by another.
func NewDynamoDB(c Config) (*Sink, error) {
	s, err := open(c, awsjson.Service{Name: "dynamodb", Target: "DynamoDB_20120810.", Version: "1.0"}, "DynamoDB table")
	if err != nil {
		return nil, err
	}
	s.most = maxItem
	s.question = question{name: c.Name, key: "table", call: noItem(c.Name), yes: awsjson.ErrConflict}
	s.put = func(ctx context.Context, part []byte) error { return s.putItem(ctx, c.Name, part) }
	return s, nil
}

// putItem takes the service's status for the acknowledgement: the item is written to more than one of its places by then.
func (s *Sink) putItem(ctx context.Context, table string, part []byte) error {
	first, last, err := ends(part)
	if err != nil {
		return err
	}
	body := make([]byte, 0, len(part)+len(part)/4+512)
	body = jsontext.AppendString(append(body, `{"TableName":`...), table)
	body = jsontext.AppendString(append(body, `,"Item":{"`+attrInstance+`":{"S":`...), first.Instance)
	body = strconv.AppendUint(append(body, `},"`+attrSeq+`":{"N":"`...), first.Seq, 10)
	body = jsontext.AppendString(append(body, `"},"`+attrLines+`":{"S":`...), string(part))
	body = append(body, `},"`+attrHash+`":{"S":"`...)
	body = append(body, last.String()...)
	body = append(body, `"}}`+condition...)
	body = append(body, last.String()...)
	body = append(body, `"}}}`...)
	answer, err := s.client.Call(ctx, awsjson.Request{Action: "PutItem", Body: body, Most: maxAnswer})
	if err != nil {
		return err
	}
	answer.Wipe()
	return nil
}

// noItem is to put an item where none is, under the condition that one is there: it fails, once the table was found, the
// key is its own, and we may put.
func noItem(table string) awsjson.Request {
	body := jsontext.AppendString([]byte(`{"TableName":`), table)
	body = append(body, `,"Item":{"`+attrInstance+`":{"S":"`+awsjson.Absent+`"},"`+attrSeq+`":{"N":"0"}}`...)
	body = append(body, `,"ConditionExpression":"attribute_exists(#i)","ExpressionAttributeNames":{"#i":"`+attrInstance+`"}}`...)
	return awsjson.Request{Action: "PutItem", Body: body, Most: maxAnswer}
}

// ends reads the place of the first line and the hash of the last.
func ends(part []byte) (first audit.Chain, last audit.Hash, err error) {
	var rec audit.Record
	head, _, _ := bytes.Cut(part, []byte{'\n'})
	if err := audit.Decode(head, &rec); err != nil {
		return audit.Chain{}, audit.Hash{}, err
	}
	first = rec.Chain
	text := bytes.TrimSuffix(part, []byte{'\n'})
	if err := audit.Decode(text[bytes.LastIndexByte(text, '\n')+1:], &rec); err != nil {
		return audit.Chain{}, audit.Hash{}, err
	}
	return first, rec.Chain.Hash, nil
}
