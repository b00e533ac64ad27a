package secretsmanager

import (
	"context"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// noVersion is the id of no version: asking for it shows whether we may read a secret, and reads none.
const noVersion = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// Checkup implements secret.Checker: does AWS answer, take our credentials, and let us read at each place and below. Whether we
// may use the KMS keys cannot be asked without reading.
func (m *Manager) Checkup(ctx context.Context, places []secret.Place) secret.Checkup {
	return m.base.Client.Checkup(ctx, places, m.look)
}

func (m *Manager) look(ctx context.Context, e *awsjson.Examiner, place string) error {
	if arn, ok := awsjson.ParseARN(place); ok {
		return m.lookAt(ctx, e, arn.Region, true, place)
	}
	name, lists, err := m.example(ctx, e, place)
	switch {
	case err != nil:
		return err
	case name != "":
		err = m.lookAt(ctx, e, "", true, name)
	case place != "":
		err = m.lookAt(ctx, e, "", false, under(place, awsjson.Absent), place)
	default:
		err = m.lookAt(ctx, e, "", false, awsjson.Absent)
	}
	if err != nil {
		return err
	}
	if lists {
		e.Good("list below %q", place)
		if name == "" {
			e.Nothing(place)
		}
	}
	i, err := e.Allowed(ctx, awsjson.Request{
		Action: "BatchGetSecretValue", Most: maxOne,
		Body: append(jsontext.AppendString([]byte(`{"SecretIdList":[`), under(place, awsjson.Absent)), `]}`...),
	})
	if i < 0 {
		e.DoubtRefused("BatchGetSecretValue", "*", "allow it on *, so that misses at one time are one call; until then each is one of its own")
	}
	return err
}

// example is the name of a secret below a place, or at it; "" where AWS tells of none. lists says whether it would.
func (m *Manager) example(ctx context.Context, e *awsjson.Examiner, place string) (name string, lists bool, err error) {
	name, lists, err = m.listed(ctx, e, under(place, ""), func(string) bool { return true })
	if name == "" && lists && err == nil && place != "" {
		name, lists, err = m.listed(ctx, e, place, func(name string) bool { return name == place })
	}
	return name, lists, err
}

// listed is a wanted name among the first that AWS lists with this beginning.
func (m *Manager) listed(ctx context.Context, e *awsjson.Examiner, beginning string, wanted func(string) bool) (name string, may bool, err error) {
	body := strconv.AppendInt([]byte(`{"MaxResults":`), pageSize, 10)
	if beginning != "" {
		body = append(jsontext.AppendString(append(body, `,"Filters":[{"Key":"name","Values":[`...), beginning), `]}]`...)
	}
	root, may, err := e.Ask(ctx, awsjson.Request{Action: "ListSecrets", Body: append(body, '}'), Most: maxTold})
	if err != nil || !may {
		return "", false, err
	}
	defer root.Wipe()
	list, err := awsjson.Elements(root, "SecretList")
	for i := range list {
		name, err = awsjson.Text(&list[i], "Name")
		if err == nil && wanted(name) {
			return name, true, nil
		}
		if err != nil {
			break
		}
	}
	return "", true, e.Heard(err)
}

// lookAt asks whether we may read one of these; known says that they are there.
func (m *Manager) lookAt(ctx context.Context, e *awsjson.Examiner, region string, known bool, names ...string) error {
	var reads []awsjson.Request
	for _, name := range names {
		reads = append(reads, awsjson.Request{
			Action: "GetSecretValue", Region: region, Most: maxOne,
			Body: append(jsontext.AppendString([]byte(`{"VersionId":"`+noVersion+`","SecretId":`), name), '}'),
		})
	}
	i, err := e.Allowed(ctx, reads...)
	switch {
	case err != nil:
		return err
	case i < 0 && known:
		e.Refused("GetSecretValue", names[0], "attach a policy that allows it on the ARNs of what the mount serves: docs/upstreams.md; look at the policy of the secret as well")
		return nil
	case i < 0:
		e.DoubtRefused("GetSecretValue", names[0], "AWS says so to all who may not read every name, because there is no such secret: allow ListSecrets, so that one that is there is asked for")
		return nil
	}
	e.Good("read %s, and its previous version", names[i])
	told, err := e.Allowed(ctx, awsjson.Request{
		Action: "ListSecretVersionIds", Region: region, Most: maxTold,
		Body: append(jsontext.AppendString([]byte(`{"MaxResults":1,"SecretId":`), names[i]), '}'),
	})
	if told >= 0 {
		e.Good("its versions")
	}
	return err
}

func under(place, name string) string {
	if place == "" {
		return name
	}
	return place + "/" + name
}
