package identity

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// IAM is who AWS says has called: requestContext.authorizer.iam of the event of a Function URL of AuthType AWS_IAM. It
// proves nothing by itself. Whoever may invoke the function directly can write such an event, so that a surface passes it
// on only where the configuration says that nobody may.
type IAM struct {
	Account   string // accountId: of the caller
	ARN       string // userArn: arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION
	UserID    string // userId: ROLE_ID:SESSION
	AccessKey string // accessKey: which names the session, and is no secret
}

// VerifyIAM says which principal a caller is that AWS names. Only sessions of roles are taken: the subject is the ARN of
// the role, without the session, whose name whoever assumes the role chooses; the session's access key stands for the
// token. When the session ends AWS does not say; Expires is the latest time that it can be. Errors wrap ErrInvalid and are safe to log.
func (v *Verifier) VerifyIAM(c *IAM) (*Verified, error) {
	claims, subject, err := c.claims()
	if err != nil {
		return nil, err
	}
	if v.rules == nil {
		return nil, invalid("no trust rule is for callers that IAM names")
	}
	g, err := v.rules.Admit(trust.Token{Issuer: trust.FunctionURL, Claims: claims})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	now := v.wall().UTC().Truncate(time.Second)
	return &Verified{
		Principal: policy.Principal{
			Trust: g.Rule.Name, Issuer: trust.FunctionURL, Subject: subject, TokenID: c.AccessKey, AuthenticatedBy: "aws_iam",
			Base: g.Base, Scopes: g.Scopes, Claims: g.Claims, Expires: now.Add(g.Rule.MaxTTL),
		},
		IssuedAt: now, NotBefore: now,
	}, nil
}

// claims is what trust rules see of c, in which everything that AWS says twice has to be the same.
func (c *IAM) claims() (claims *strictjson.Node, subject string, err error) {
	subject, session, ok := cutLast(c.ARN, "/")
	named := strings.Split(subject, ":") // arn:aws:sts::123456789012:assumed-role/NAME
	if !ok || len(named) != 6 || named[0] != "arn" || !strings.HasPrefix(named[1], "aws") || named[2] != "sts" || named[3] != "" {
		return nil, "", errNoRole
	}
	account := named[4]
	role, ok := strings.CutPrefix(named[5], "assumed-role/")
	if !ok || !isIAMName(role) || !isIAMName(session) {
		return nil, "", errNoRole
	}
	roleID, sameSession, _ := strings.Cut(c.UserID, ":")
	switch {
	case account != c.Account || sameSession != session:
		return nil, "", invalid("what IAM says of the caller contradicts itself")
	case !isID(roleID, "AROA") || !isID(c.AccessKey, "ASIA"):
		return nil, "", invalid("the caller that IAM names has no unique id, or no access key of a session")
	}
	claims = &strictjson.Node{Kind: strictjson.Object}
	for _, p := range [...]policy.Pair{
		{Name: "sub", Value: subject},
		{Name: "account", Value: account},
		{Name: "role", Value: role},
		{Name: "role_id", Value: roleID},
		{Name: "session", Value: session},
	} {
		claims.Members = append(claims.Members, strictjson.Member{Name: p.Name, Value: strictjson.Node{Kind: strictjson.String, Text: []byte(p.Value)}})
	}
	return claims, subject, nil
}

var errNoRole = invalid("the caller that IAM names is not the session of a role")

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// isIAMName reports whether a role or a session may have this name (IAM API Reference, CreateRole and AssumeRole).
func isIAMName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-") == ""
}

// isID reports whether s is a unique id of IAM of this kind: a prefix, and capital letters and digits.
func isID(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && rest != "" && len(s) <= maxIDBytes && strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
