package awsemu

import (
	"regexp"
	"slices"
	"testing"
)

const (
	documentedKey = "arn:aws:kms:eu-west-1:" + Account + ":key/00000000-0000-0000-0000-000000000000"
	// DocumentedRoles is how the ARNs of the page's roles begin.
	DocumentedRoles = "arn:aws:iam::" + Account + ":role/"
)

// DocumentedPolicies are the policies of a page, by their names there.
func DocumentedPolicies(t testing.TB, page string) map[string][]Statement {
	t.Helper()
	all := map[string][]Statement{}
	for _, m := range regexp.MustCompile("(?ms)^```json ([a-z-]+)\n(.*?)\n```$").FindAllStringSubmatch(page, -1) {
		statements, err := ParsePolicy(m[2])
		if err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		all[m[1]] = statements
	}
	return all
}

// StartAs starts an account that was set up as a page of documentation says, with its policies: secrets and parameters
// below apps/web, under a key of their own.
func StartAs(t testing.TB, page string) (emu *Server, url string, policies map[string][]Statement) {
	t.Helper()
	emu, url = Start(t)
	policies = DocumentedPolicies(t, page)
	if len(policies) != 4 {
		t.Fatalf("got %d policies", len(policies))
	}
	trust := policies["trust"][0]
	if trust.Principal["AWS"] != DocumentedRoles+"keyhole" || !slices.Equal(trust.Action, []string{"sts:AssumeRole"}) {
		t.Fatalf("the trust policy is %+v", trust)
	}
	emu.Attach(AccessKey, policies["edge"]...) // the emulator's user stands in for the machine's role
	for _, role := range []string{"web-secrets", "web-parameters"} {
		emu.AddRole(Role{ARN: DocumentedRoles + role, ExternalID: trust.Condition["StringEquals"]["sts:ExternalId"], From: AccessKey})
		emu.Attach(DocumentedRoles+role, policies[role]...)
	}
	emu.SetKey(documentedKey)
	for _, text := range []string{"old", "s3cret"} {
		emu.PutSecret(Region, "apps/web/db", &text, nil)
		emu.PutSecret(Region, "apps/web/db2", &text, nil)
	}
	for _, text := range []string{"http://old", "https://new"} {
		emu.PutParameter(Region, "/apps/web/url", "SecureString", text)
		emu.PutParameter(Region, "/apps/web/url2", "SecureString", text)
	}
	return emu, url, policies
}
