package awsjson

import (
	"context"
	"fmt"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// maxPages bounds the calls of one question.
const maxPages = 1000

// Pages makes a call until there are no more pages, and gives each answer to each. members is what the body holds beside
// size, the most entries of a page, and the token of the next one; the Body of r is not used.
func (c *Client) Pages(ctx context.Context, r Request, size int, members []byte, each func(*strictjson.Node) error) error {
	next := ""
	for range maxPages {
		r.Body = strconv.AppendInt([]byte(`{"MaxResults":`), int64(size), 10)
		if len(members) > 0 {
			r.Body = append(append(r.Body, ','), members...)
		}
		if next != "" {
			r.Body = jsontext.AppendString(append(r.Body, `,"NextToken":`...), next)
		}
		r.Body = append(r.Body, '}')
		root, err := c.Call(ctx, r)
		if err != nil {
			return err
		}
		err = each(root)
		if err == nil {
			next, err = OptionalText(root, "NextToken")
		}
		root.Wipe()
		if err != nil || next == "" {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d pages", ErrMalformed, maxPages)
}
