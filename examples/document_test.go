package examples_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const (
	audience      = "https://keyhole.example"
	documentedKey = "arn:aws:kms:eu-west-1:" + awsemu.Account + ":key/00000000-0000-0000-0000-000000000000"
)

var block = regexp.MustCompile("(?ms)^```(sh|json) ?([a-z-]*)\n(.*?)\n```$")

// The page is followed to the letter: its files are written, its commands are run, what they deploy is started, and asked.
func TestDocument(t *testing.T) {
	for _, tool := range []string{"jq", "zip", "curl", "openssl", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not here")
		}
	}
	text, err := os.ReadFile("../docs/lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newCloud(t)
	c.store()
	issuer := c.identities()
	// Its keys are on this machine.
	here := `"jwks_uri": "` + issuer.JWKSURI() + `", "ca": "file:` + issuer.CAFile + `", "allow_private": true, `
	dir := t.TempDir()
	script := "set -euo pipefail\n"
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		kind, name, body := b[1], b[2], b[3]
		switch {
		case kind == "sh":
			script += body + "\n"
		case name == "":
			t.Errorf("a block has no name, so that nothing is tried:\n%s", body)
		case !json.Valid([]byte(body)):
			t.Errorf("%s is no JSON", name)
		case name == "extension":
			parseDocument(t, body)
		default:
			body = strings.Replace(body, `"jwks": `, here+`"jwks": `, 1)
			if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(body+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	script = strings.ReplaceAll(script, `"$issuer/.well-known/openid-configuration"`, issuer.URL+"/.well-known/openid-configuration")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "examples"), filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	tools := c.tools(root)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // of which the builds need most
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.WaitDelay = time.Second
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "CURL_CA_BUNDLE="+issuer.CAFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.checkCommands(t, dir)
	c.checkRights(t)
	if log := c.log(); !strings.Contains(log, `"cached":2`) {
		t.Errorf("nothing was read ahead:\n%s", log)
	}
}

// A policy of the page has no right that is not used. What is used and not in it has been refused.
func (c *cloud) checkRights(t *testing.T) {
	t.Helper()
	used := map[string]bool{}
	for _, call := range c.emu.Calls() {
		used[call.Principal+" "+call.Action] = true
	}
	for _, right := range c.granted {
		_, action, _ := strings.Cut(right, " ")
		if !used[right] && !strings.HasPrefix(action, "logs:") {
			t.Errorf("%s is granted and never used", right)
		}
	}
}

// log is what all that was started has written.
func (c *cloud) log() string {
	log := ""
	for _, env := range c.envs {
		log += env.Log()
	}
	return log
}

// parseDocument wants a configuration that the extension takes.
func parseDocument(t *testing.T, text string) {
	t.Helper()
	d := edge.Drivers()
	c, err := d.LoadBeside(text, []string{t.TempDir()}, nil, nil)
	if err == nil {
		err = d.Unsupported(c)
	}
	if err != nil {
		t.Error(err)
	}
}

// The rule of the page lets through the events that the function knows, all of them and no others.
func TestRotations(t *testing.T) {
	page, err := os.ReadFile("../docs/lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../functions/internal/lambdahttp/signal.go")
	if err != nil {
		t.Fatal(err)
	}
	var pattern string
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		if b[2] == "rotations" {
			pattern = b[3]
		}
	}
	quoted := func(text, like string) (found []string) {
		for _, m := range regexp.MustCompile(like).FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	const name, kind = `"([A-Z][A-Za-z]+)"`, `"((?:[A-Z]\w* )+(?:via )?[A-Z]\w+)"`
	if got, want := quoted(pattern, name), quoted(string(program), name+`: true`); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("got the calls %q, want %q", got, want)
	}
	want := slices.DeleteFunc(quoted(string(program), `kind == `+kind), func(s string) bool { return s == "Scheduled Event" })
	if got := quoted(pattern, kind); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("got the events %q, want %q", got, want)
	}
}

// store puts in place what the page reads.
func (c *cloud) store() {
	c.emu.SetKey(documentedKey)
	c.emu.PutStream(awsemu.Region, "keyhole-audit")
	text := value
	c.emu.PutSecret(awsemu.Region, "apps/web/db", &text, nil)
	c.emu.PutParameter(awsemu.Region, "/apps/web/url", "SecureString", "https://db.example")
}

// identities makes the account's issuer of tokens.
func (c *cloud) identities() *oidcemu.Issuer {
	var fixture struct {
		Alg    string
		Claims map[string]any
	}
	text, err := os.ReadFile("../proxy/identity/trust/testdata/tokens/aws.json")
	if err == nil {
		err = json.Unmarshal(text, &fixture)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	key := oidcemu.NewKey(fixture.Alg, "aws-1")
	c.token = func(aud string) string {
		claims, now := maps.Clone(fixture.Claims), time.Now().Unix()
		claims["sub"], claims["aud"], claims["iat"], claims["nbf"], claims["exp"] = awsemu.DocumentedRoles+"app", aud, now, now, now+300
		return key.Sign(claims)
	}
	c.emu.Federate(awsemu.Federation{Issuer: fixture.Claims["iss"].(string), Key: key})
	return oidcemu.New(c.t, key)
}

// tools is a directory with what the page uses of this project: keyhole, and make, which builds for this machine what it
// would build for Lambda's.
func (c *cloud) tools(root string) string {
	dir := c.t.TempDir()
	if _, err := proxytest.BuildBinary(dir); err != nil {
		c.t.Fatal(err)
	}
	script := `#!/bin/sh
set -eu
out=$PWD/bin
mkdir -p "$out/lambda" "$out/layer/extensions"
cd ` + root + `
for target; do
	case $target in
	lambda) scripts/build-function "$out/lambda/bootstrap" ./functions/lambda ;;
	layer) scripts/build-function "$out/layer/extensions/keyhole" ./functions/extension ;;
	*) exit 2 ;;
	esac
	(cd "$out/$target" && zip -qr "$out/$target-arm64.zip" .)
done
`
	if err := os.WriteFile(filepath.Join(dir, "make"), []byte(script), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return dir
}

// Its commands are ones that the AWS CLI has.
func (c *cloud) checkCommands(t *testing.T, dir string) {
	t.Helper()
	python := awsemu.Python(t)
	program, err := filepath.Abs("testdata/awscli.py")
	if err != nil {
		t.Fatal(err)
	}
	var in strings.Builder
	for _, words := range c.commands {
		line, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), python, program)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("botocore: %v\n%s", err, out)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "SKIP":
			t.Logf("botocore here is too old to know %s", rest)
		case "CHECKED":
			if n, err := strconv.Atoi(rest); err != nil || n < 20 {
				t.Errorf("botocore checked %s commands", rest)
			}
		default:
			t.Errorf("botocore: %s", line)
		}
	}
}
