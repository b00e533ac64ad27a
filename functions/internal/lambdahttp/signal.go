package lambdahttp

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// changes are the calls and service events of Secrets Manager after which a value may be another, or ours no more.
var changes = map[string]bool{
	"CreateSecret": true, "DeleteResourcePolicy": true, "DeleteSecret": true, "PutResourcePolicy": true, "PutSecretValue": true,
	"RestoreSecret": true, "RotateSecret": true, "RotationSucceeded": true, "UpdateSecret": true, "UpdateSecretVersionStage": true,
}

// maxResources is the most that an event is about: those of AWS are about one. Each costs two records and a decision for
// each mount that may show it.
const maxResources = 16

// suffixBytes is what Secrets Manager puts behind a name in an ARN: a hyphen and six characters.
const suffixBytes = 7

// signal answers an event of EventBridge.
func (h *Handler) signal(ctx context.Context, e event) ([]byte, error) {
	if n := e.at("resources"); n != nil && len(n.Elems) > maxResources {
		return nil, fmt.Errorf("%w: of EventBridge, about more than %d resources", ErrUnknownEvent, maxResources)
	}
	c := Change{Source: e.text("source"), ID: e.text("id")}
	switch kind := e.text("detail-type"); {
	case kind == "Scheduled Event" && (c.Source == "aws.events" || c.Source == "aws.scheduler"):
		if err := h.config.Ready(); err != nil {
			return nil, fmt.Errorf("not ready: %w", err)
		}
		return []byte(`{"ready":true}`), nil
	case c.Source == "aws.secretsmanager" && kind == "Secret Label Updated":
		c.Type, c.Objects = "secretsmanager", e.secrets()
	case c.Source == "aws.secretsmanager" && (kind == "AWS API Call via CloudTrail" || kind == "AWS Service Event via CloudTrail"):
		c.Type = "secretsmanager"
		if changes[e.text("detail", "eventName")] && !e.has("detail", "errorCode") {
			c.Objects = e.secrets()
		}
	case c.Source == "aws.ssm" && kind == "Parameter Store Change":
		c.Type, c.Objects = "parameterstore", e.parameters()
	default:
		return nil, fmt.Errorf("%w: of EventBridge, want a Scheduled Event, a Parameter Store Change, a Secret Label Updated, or a call or service event of Secrets Manager", ErrUnknownEvent)
	}
	n := 0
	if len(c.Objects) > 0 {
		var err error
		if n, err = h.config.Changed(ctx, c); err != nil {
			return nil, fmt.Errorf("invalidating: %w", err)
		}
	}
	return append(strconv.AppendInt([]byte(`{"invalidated":`), int64(n), 10), '}'), nil
}

// secrets are all names that a secret of Secrets Manager may have for a mount: which of an ARN, complete or not, and a name
// is told differs from event to event, and so does the case of the member.
func (e event) secrets() []string {
	ids := append([]string{e.text("detail", "name")}, e.texts("resources")...)
	for _, at := range [][2]string{
		{"requestParameters", "secretId"},
		{"requestParameters", "name"},
		{"responseElements", "arn"},
		{"responseElements", "aRN"},
		{"responseElements", "ARN"},
		{"responseElements", "name"},
		{"additionalEventData", "SecretId"},
		{"additionalEventData", "secretId"},
	} {
		ids = append(ids, e.text("detail", at[0], at[1]))
	}
	var all []string
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, id := range ids {
		add(id)
		_, name, isARN := strings.Cut(id, ":secret:")
		if !isARN {
			continue
		}
		add(name)
		if i := len(name) - suffixBytes; i > 0 && name[i] == '-' {
			add(name[:i])
			add(id[:len(id)-suffixBytes])
		}
	}
	return all
}

// parameters are the names that a parameter may have for a mount: without the slash in front that AWS's names may have.
func (e event) parameters() []string {
	var all []string
	if name := strings.TrimPrefix(e.text("detail", "name"), "/"); name != "" {
		all = append(all, name)
	}
	return append(all, e.texts("resources")...)
}
