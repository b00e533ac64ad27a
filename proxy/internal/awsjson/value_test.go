package awsjson_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

func TestMoment(t *testing.T) {
	const bad = "bad"
	for text, want := range map[string]string{
		`{"At":1523477145.7134}`:                 "2018-04-11T20:05:45.713Z",
		`{"At":1.523477145713E9}`:                "2018-04-11T20:05:45.713Z",
		`{"At":0}`:                               "1970-01-01T00:00:00Z",
		`{"At":"2018-04-11T22:05:45.713+02:00"}`: "2018-04-11T20:05:45.713Z",
		`{"At":"2018-04-11T20:05:45Z"}`:          "2018-04-11T20:05:45Z",
		`{}`:                                     "",
		`{"At":null}`:                            "",
		`{"At":-1}`:                              bad,
		`{"At":1e300}`:                           bad,
		`{"At":"1523477145"}`:                    bad,
		`{"At":"1969-12-31T23:59:59Z"}`:          bad,
		`{"At":true}`:                            bad,
	} {
		root, err := strictjson.Parse([]byte(text), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := bad
		switch at, err := awsjson.Moment(root, "At"); {
		case err != nil && !errors.Is(err, awsjson.ErrMalformed):
			t.Errorf("%s: got %v", text, err)
		case err == nil && at.IsZero():
			got = ""
		case err == nil:
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
