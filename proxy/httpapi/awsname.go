package httpapi

import (
	"cmp"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxAWSName bounds the name or ARN of a secret or parameter, in bytes, as AWS does.
const maxAWSName = 2048

// awsName is what a client of AWS calls a secret: its path here is the name alone, whatever account and region an ARN tells.
type awsName struct {
	path      secret.Path     // of the name alone
	at        secret.Location // what an ARN of AWS says besides
	name      string          // without what an ARN says besides
	arn       string          // as it was asked for, "" where it was not an ARN
	selector  string          // version or label at the end of a parameter's name
	reference bool            // a parameter that stands for a secret of Secrets Manager
}

// under is where a name is looked up: its path below place.
func under(place, name secret.Path) (secret.Path, error) {
	p, err := place.Join(name.String())
	if err != nil {
		return p, fail(api.InvalidPath, err.Error())
	}
	return p, nil
}

// ourPartition is that of the ARNs that answers hold where the caller sent none: nobody takes them for those of AWS.
const ourPartition = "keyhole"

// arnIn is the ARN of what was asked for.
func (n awsName) arnIn(region, service, kind string) string {
	if n.arn != "" {
		return n.arn
	}
	name := n.path.String()
	if n.reference {
		name = n.name[1:]
	}
	return "arn:" + ourPartition + ":" + service + ":" + region + "::" + kind + name
}

// secretName reads a name of Secrets Manager, or an ARN. A complete ARN has six random characters at the end, behind a
// hyphen, which are no part of the name. AWS takes partial ARNs without them too; whether the end of a name only looks
// like that cannot be known before the decision, so such a name has to come alone or with its complete ARN.
func secretName(id string) (n awsName, err error) {
	n.name = id
	a, ok, err := cutARN(id, "secretsmanager", "secret:")
	if err != nil {
		return n, err
	}
	if ok {
		n.arn, n.name, n.at = id, a.rest, a.at
		if i := len(a.rest) - 7; i > 0 && a.rest[i] == '-' && alphanumeric(a.rest[i+1:]) && !a.ours {
			n.name = a.rest[:i]
		}
	}
	n.path, err = parsePath(n.name)
	return n, err
}

// referencePrefix begins the names of parameters that stand for secrets of Secrets Manager.
const referencePrefix = "/aws/reference/secretsmanager/"

// parameterName reads a name of Parameter Store, or an ARN, with or without a version or label behind a colon. As there, a
// name in a hierarchy begins with a slash, and one that is in none does not: /a/b and a.
func parameterName(text string) (n awsName, err error) {
	full := text
	a, isARN, err := cutARN(text, "ssm", "parameter/")
	if err != nil {
		return n, err
	}
	if isARN {
		full = a.rest
		if strings.Contains(a.rest, "/") {
			full = "/" + a.rest
		}
	}
	if id, ok := strings.CutPrefix(full, referencePrefix); ok {
		if n, err = referenceName(full, id); isARN {
			n.arn = strings.TrimSuffix(text, ":"+n.selector)
			n.at = cmp.Or(n.at, a.at)
		}
		return n, err
	}
	n.at = a.at
	n.name, n.selector, _ = strings.Cut(full, ":")
	if strings.HasSuffix(full, ":") {
		return n, fail(api.InvalidRequest, "invalid version or label")
	}
	if isARN {
		n.arn = strings.TrimSuffix(text, ":"+n.selector)
	}
	name, hierarchy := strings.CutPrefix(n.name, "/")
	if n.path, err = parsePath(name); err == nil && hierarchy != (n.path.Segments() > 1) {
		err = fail(api.InvalidPath, "a parameter's name begins with a slash if, and only if, there is another one in it")
	}
	return n, err
}

// referenceName reads what follows referencePrefix: a name or ARN of a secret, and perhaps a version or staging label.
func referenceName(text, id string) (awsName, error) {
	prefix := ""
	if i := strings.Index(id, ":secret:"); i >= 0 {
		prefix = id[:i+len(":secret:")]
	}
	name, selector, selected := strings.Cut(id[len(prefix):], ":")
	if selected && selector == "" {
		return awsName{}, fail(api.InvalidRequest, "invalid version or label")
	}
	n, err := secretName(prefix + name)
	n.name, n.arn, n.selector, n.reference = strings.TrimSuffix(text, ":"+selector), "", selector, true
	return n, err
}

// awsARN is what an ARN says.
type awsARN struct {
	at   secret.Location // zero where it is one of ours
	ours bool
	rest string // behind the kind of thing that it is
}

// cutARN takes apart arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND…; ok is false for what is no ARN at all.
func cutARN(s, service, kind string) (a awsARN, ok bool, err error) {
	if len(s) > maxAWSName {
		return a, false, fail(api.InvalidPath, "a name is at most 2048 bytes")
	}
	if !strings.HasPrefix(s, "arn:") {
		return a, false, nil
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
		return a, false, fail(api.InvalidPath, "an ARN holds no such character") // answers repeat it
	}
	part := strings.SplitN(s, ":", 6)
	if len(part) == 6 && part[2] == service {
		a.rest, ok = strings.CutPrefix(part[5], kind)
	}
	if !ok {
		return a, false, fail(api.InvalidPath, "not an ARN of "+service+", which begins arn:PARTITION:"+service+":REGION:ACCOUNT:"+kind)
	}
	if a.ours = part[1] == ourPartition; !a.ours {
		a.at = secret.Location{Region: part[3], Account: part[4]}
	}
	return a, true, nil
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
