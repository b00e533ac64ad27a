package parameterstore

import (
	"context"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// noVersion selects no version: asking for it shows whether we may read a parameter, and reads none.
const noVersion = ":999999999999"

// Checkup implements secret.Checker: does AWS answer, take our credentials, and let us read at each place and below. Whether we
// may use the KMS keys cannot be asked without reading.
func (s *Store) Checkup(ctx context.Context, places []secret.Place) secret.Checkup {
	return s.base.Client.Checkup(ctx, places, s.look)
}

func (s *Store) look(ctx context.Context, e *awsjson.Examiner, place string) error {
	names := []string{awsjson.Absent}
	if place != "" {
		names = []string{place + "/" + awsjson.Absent, place}
	}
	region := ""
	for i, name := range names {
		var err error
		if names[i], region, err = resource(name); err != nil {
			return e.Heard(err)
		}
	}
	absent := names[0]
	if region == "" {
		example, lists, err := s.example(ctx, e, place, names[len(names)-1])
		switch {
		case err != nil:
			return err
		case example != "":
			names = []string{example}
		case lists:
			e.Nothing(place)
		}
		if lists {
			e.Good("list below %q", place)
		}
	}
	return s.lookAt(ctx, e, region, absent, names)
}

// example is the full name of a parameter below a place, or at it; "" where AWS tells of none. lists says whether it would.
func (s *Store) example(ctx context.Context, e *awsjson.Examiner, place, itself string) (full string, lists bool, err error) {
	if place == "" {
		return s.listed(ctx, e, "", "")
	}
	full, lists, err = s.listed(ctx, e, "BeginsWith", "/"+place+"/")
	if full == "" && lists && err == nil {
		full, lists, err = s.listed(ctx, e, "Equals", itself)
	}
	return full, lists, err
}

// listed is the first name that AWS lists by a filter; without option, by none.
func (s *Store) listed(ctx context.Context, e *awsjson.Examiner, option, value string) (full string, may bool, err error) {
	body := []byte(`{"MaxResults":1`)
	if option != "" {
		body = append(jsontext.AppendString(append(body, `,"ParameterFilters":[{"Key":"Name","Option":"`+option+`","Values":[`...), value), `]}]`...)
	}
	root, may, err := e.Ask(ctx, awsjson.Request{Action: "DescribeParameters", Body: append(body, '}'), Most: maxMany})
	if err != nil || !may {
		return "", false, err
	}
	defer root.Wipe()
	list, err := awsjson.Elements(root, "Parameters")
	if err == nil && len(list) > 0 {
		full, err = awsjson.Text(&list[0], "Name")
	}
	return full, true, e.Heard(err)
}

// lookAt asks whether we may read one of these, and for the versions of one that is not there: asking for those of one
// that is would read it.
func (s *Store) lookAt(ctx context.Context, e *awsjson.Examiner, region, absent string, names []string) error {
	call := func(action, before, name, after string) awsjson.Request {
		return awsjson.Request{Action: action, Region: region, Most: maxMany, Body: append(jsontext.AppendString([]byte(before), name), after...)}
	}
	var reads []awsjson.Request
	for _, name := range names {
		reads = append(reads, call("GetParameter", `{"Name":`, name+noVersion, "}"))
	}
	i, err := e.Allowed(ctx, reads...)
	switch {
	case err != nil:
		return err
	case i < 0:
		e.Refused("GetParameter", names[0], "attach a policy that allows it on the ARNs of what the mount serves: docs/upstreams.md; where it names single parameters, only these are served")
		return nil
	}
	e.Good("read %s, and its previous version", names[i])
	if region == "" { // those of an ARN are read one at a time
		many, err := e.Allowed(ctx, call("GetParameters", `{"Names":[`, names[i]+noVersion, "]}"))
		switch {
		case err != nil:
			return err
		case many < 0:
			e.DoubtRefused("GetParameters", names[i], "allow it where GetParameter is, so that misses at one time are one call; until then each is one of its own")
		}
	}
	told, err := e.Allowed(ctx, call("GetParameterHistory", `{"MaxResults":1,"Name":`, absent, "}"))
	if told >= 0 {
		e.Good("its versions")
	}
	return err
}
