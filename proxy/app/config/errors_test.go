package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// mount is base with an upstream, and the beginning of a mount at line 7.
const mount = base + "upstreams: {local: {type: embedded, path: vault.db, key: env:K}}\nmounts:\n  - path: web\n    upstream: local\n"

// vault is base with an upstream of type vault but for what follows its address.
const vault = base + "upstreams:\n  bao:\n    type: vault\n    address: https://bao.example\n"

// identity is base with an audience, and the beginning of more at line 8.
const identity = base + "identity:\n  issuer: https://keyhole.example\n  audience: https://keyhole.example\n"

// rule is base with the beginning of a trust rule that has a template.
const rule = base + "identity:\n  trust:\n    - name: a\n      template: vercel\n      with: {team: t, owner_id: o, project_id: p, environments: production}\n"

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"not an object", "[1]\n", []string{`k.yaml:1:1: want a document of keys and values such as version: 1`}},
		{"another version", strings.Replace(base, "version: 1", "version: 2", 1), []string{`k.yaml:1:10: version: must be 1, not 2`}},
		{"nothing but a version", "version: 1\n", []string{`k.yaml:1:1: audit.sinks: this key is required; want a list of objects`}},
		{"a file without an audit key", "version: 1\naudit: {sinks: [{type: file, path: a.jsonl}]}\n", []string{
			`k.yaml:2:8: audit.key: is needed but for the sink stdout alone; want a reference such as file:keys/audit.key`,
		}},
		{"scopes of the function that are none", base + "identity: {function: {scope: [\"read:**\", \"fly:a\"]}}\n", []string{
			`k.yaml:5:30: identity.function.scope: invalid scope: action "fly" is not one of read, list, write, invalidate, revoke, approve`,
		}},
		{"an unknown key at the top", base + "upstream: {}\n", []string{`k.yaml:5:1: upstream: unknown key; did you mean "upstreams"?`}},
		{"an unknown key in a list", mount + "    chache: {}\n", []string{`k.yaml:9:5: mounts[0].chache: unknown key; did you mean "cache"?`}},
		{"another spelling habit", base + "identity: {maxTTL: 1h}\n", []string{`k.yaml:5:12: identity.maxTTL: unknown key; did you mean "max_ttl"?`}},
		{"nothing close", base + "zebra: 1\n", []string{`k.yaml:5:1: zebra: unknown key`}},
		{"a name that needs quotes", base + "\"a b\": 1\n", []string{`k.yaml:5:1: ["a b"]: unknown key`}},
		{"all problems, in their order", base + "log: {level: inf, format: 1}\nlimits: {max_in_flight: 0}\nzebra: 1\n", []string{
			`k.yaml:5:14: log.level: want one of debug, info, warn, error, not "inf"; did you mean "info"?`,
			`k.yaml:5:27: log.format: want one of json, text, not 1`,
			`k.yaml:6:25: limits.max_in_flight: must be between 1 and 1000000, not 0`,
			`k.yaml:7:1: zebra: unknown key`,
		}},
		{"a key without a value", base + "labels:\nregion: ~\n", []string{
			`k.yaml:5:8: labels: has no value; give it one or leave the key out`,
			`k.yaml:6:9: region: has no value; give it one or leave the key out`,
		}},
		{"an element without a value", base + "labels: [null]\n", []string{`k.yaml:5:10: labels[0]: has no value; give it one or leave the key out`}},

		{"polling too often", base + "upstreams: {b: {type: vault, address: \"https://v\", kv: {version: 2}, auth: {method: token, token: env:T}, poll: {interval: 500ms}}}\n", []string{`k.yaml:5:124: upstreams.b.poll.interval: is shorter than 1s; 0 is never`}},
		{"polling what tells nothing", base + "upstreams: {b: {type: vault, address: \"https://v\", kv: {version: 1}, auth: {method: token, token: env:T}, poll: {interval: 5s}}}\n", []string{`k.yaml:5:124: upstreams.b.poll.interval: wants version 2 of the engine: version 1 tells no versions`}},
		{"polling more than the vault may be asked", base + "upstreams: {b: {type: vault, address: \"https://v\", kv: {version: 2}, auth: {method: token, token: env:T}, poll: {interval: 4s, max_paths: 300}}}\n", []string{`k.yaml:5:124: upstreams.b.poll.interval: would take more than half of limits.rate, 100 a second, for 300 paths (max_paths); want 6s or more`}},
		{"a hook that may nothing", base + "hooks: {h: {key: env:K, allow: []}}\n", []string{`k.yaml:5:32: hooks.h.allow: must not be empty; want a list, each a pattern such as web/production/*`}},
		{"a hook with one key twice", base + "hooks: {h: {key: env:K, old_key: env:K, allow: [a/b]}}\n", []string{`k.yaml:5:34: hooks.h.old_key: is the same as key`}},
		{"a duration without a unit", base + "state: {check: 60}\n", []string{`k.yaml:5:16: state.check: want a duration such as 60s, not 60; did you mean "60s"?`}},
		{"a quoted one", base + "state: {check: \"60\"}\n", []string{`k.yaml:5:16: state.check: want a duration such as 60s, not "60"; did you mean "60s"?`}},
		{"a duration in days", base + "state: {max_blind: 7d}\n", []string{`k.yaml:5:20: state.max_blind: want a duration such as 60s, not "7d"; did you mean "168h"?`}},
		{"a negative duration", base + "state: {max_blind: -5s}\n", []string{`k.yaml:5:20: state.max_blind: want a duration such as 60s, not "-5s"`}},
		{"a duration too long", base + "identity: {max_ttl: 2h}\n", []string{`k.yaml:5:21: identity.max_ttl: must be between 1s and 1h, not "2h"`}},
		{"a duration of nothing", base + "state: {check: 0}\n", []string{`k.yaml:5:16: state.check: must be at least 1ms, not 0`}},
		{"a size without a unit", base + "cache: {bytes: 1000000}\n", []string{`k.yaml:5:16: cache.bytes: want a size such as 64MiB, not 1000000`}},
		{"a decimal unit", base + "cache: {bytes: 64MB}\n", []string{`k.yaml:5:16: cache.bytes: want a size such as 64MiB, not "64MB"; did you mean "64MiB"?`}},
		{"a size too small", base + "cache: {bytes: 1KiB}\n", []string{`k.yaml:5:16: cache.bytes: must be at least 64KiB, not "1KiB"`}},
		{"rotate and keep", strings.Replace(base, "jsonl}", "jsonl, rotate: 1KiB, keep: 0}", 1), []string{
			`k.yaml:4:51: audit.sinks[0].rotate: must be between 4KiB and 1TiB, not "1KiB"`,
			`k.yaml:4:63: audit.sinks[0].keep: must be between 1 and 100000, not 0`,
		}},
		{"a number in quotes", base + "cache: {entries: \"10\"}\n", []string{`k.yaml:5:18: cache.entries: want a whole number such as 10000 without quotes, not "10"`}},
		{"a fraction", base + "cache: {entries: 1.5}\n", []string{`k.yaml:5:18: cache.entries: want a whole number such as 10000, not 1.5`}},
		{"a number beyond 64 bits", base + "cache: {entries: 99999999999999999999}\n", []string{`k.yaml:5:18: cache.entries: want a whole number such as 10000, not 99999999999999999999`}},
		{"an octal number", base + "cache: {entries: 0o17}\n", []string{`k.yaml:5:18: cache.entries: want a whole number such as 10000 without quotes, not "0o17"`}},
		{"a boolean of YAML 1.1", base + "listen: {insecure_http: yes}\n", []string{`k.yaml:5:25: listen.insecure_http: want true or false, not "yes"; did you mean "true"?`}},
		{"a number for a text", base + "region: 12\n", []string{`k.yaml:5:9: region: want a name such as web-1 (letters, digits, _ . -; at most 64) (put it in quotes), not 12`}},
		{"a list for an object", base + "log: []\n", []string{`k.yaml:5:6: log: want an object of keys and values, not a list`}},
		{"an object for a list", base + "mounts: {a: 1}\n", []string{`k.yaml:5:9: mounts: want a list of objects, not an object`}},
		{"a text for a list", base + "listen: {trusted_proxies: 10.0.0.0/8}\n", []string{`k.yaml:5:27: listen.trusted_proxies: want a list, each a network such as 10.0.0.0/8, not "10.0.0.0/8"`}},
		{"a network with host bits", base + "listen: {trusted_proxies: [10.1.2.3/8]}\n", []string{`k.yaml:5:28: listen.trusted_proxies[0]: bits are set behind the prefix length; did you mean "10.0.0.0/8"?`}},
		{"a bad network", base + "listen: {trusted_proxies: [10.0.0.0]}\n", []string{`k.yaml:5:28: listen.trusted_proxies[0]: want a network such as 10.0.0.0/8, not "10.0.0.0"`}},
		{"a line break in a text", base + "region: \"a\\nb\"\n", []string{`k.yaml:5:9: region: must not hold control characters`}},
		{"a bad URL, which may hold a password", vault[:len(vault)-len("https://bao.example\n")] + "https://u:hunter2@bao\n    auth: {method: approle, role_id: env:R, secret_id: env:S}\n", []string{
			`k.yaml:8:14: upstreams.bao.address: want a URL such as https://vault.example:8200, not this text`,
		}},

		{"an admin address for all", base + "listen: {admin: \"0.0.0.0:8641\"}\n", []string{
			`k.yaml:5:17: listen.admin: must be a loopback address such as 127.0.0.1:8641: it shows what no client may see`,
		}},
		{"an AWS address for all", base + "listen: {aws: \"0.0.0.0:2773\", insecure_http: true}\n", []string{
			`k.yaml:5:15: listen.aws: must be a loopback address such as 127.0.0.1:2773: the dialect has no encryption, and its clients look for it on their own machine`,
		}},
		{"plain HTTP for all", base + "listen: {native: \":8640\", vault: 10.0.0.1:8200}\n", []string{
			`k.yaml:5:18: listen.native: plain HTTP on an address that is not loopback; give tls, or set listen.insecure_http: true`,
			`k.yaml:5:34: listen.vault: plain HTTP on an address that is not loopback; give tls, or set listen.insecure_http: true`,
		}},
		{"not an address", base + "listen: {native: 8640}\n", []string{`k.yaml:5:18: listen.native: want HOST:PORT such as 127.0.0.1:8640, or an object with it, not 8640`}},
		{"not an address either", base + "listen: {native: localhost}\n", []string{`k.yaml:5:18: listen.native: want HOST:PORT such as 127.0.0.1:8640, not "localhost"`}},
		{"TLS without an address", base + "listen:\n  vault: {tls: {cert: file:c, key: file:k}}\n", []string{
			`k.yaml:6:10: listen.vault.address: is needed with tls; want HOST:PORT such as 127.0.0.1:8640`,
		}},
		{"TLS without a key", base + "listen:\n  native: {address: \":1\", tls: {cert: file:c}}\n", []string{
			`k.yaml:6:32: listen.native.tls.key: this key is required; want a reference such as file:keys/NAME.pem or env:NAME`,
		}},
		{"one address twice", base + "listen: {admin: 127.0.0.1:8640}\n", []string{`k.yaml:5:17: listen.admin: listen.native has the same address`}},

		{"a secret in place of a reference", base + "identity: {signing_key: hunter2, issuer: a, audience: a}\n", []string{
			`k.yaml:5:25: identity.signing_key: want a reference such as file:keys/NAME.pem or env:NAME, not this text`,
		}},
		{"own tokens without a name", base + "identity: {keys: file:jwks.json}\n", []string{
			`k.yaml:5:11: identity.audience: is needed with signing_key or keys`,
			`k.yaml:5:11: identity.issuer: is needed with signing_key or keys`,
		}},
		{"a rule of nothing", base + "identity:\n  trust:\n    - {name: a, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:7:7: identity.trust[0]: needs a template or an issuer`,
		}},
		{"an issuer alone", base + "identity:\n  trust:\n    - {name: a, issuer: \"https://i.example\", map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:7:7: identity.trust[0].algs: names no algorithm; want some of EdDSA, RS256, ES256, ES384`,
			`k.yaml:7:7: identity.trust[0].audiences: is needed: a token that is meant for another service must not be taken here; name what callers ask for, or set identity.audience`,
			`k.yaml:7:7: identity.trust[0].require: needs an immutable id with its values written out, one of sub, oid, …_id, …/uid, …/id`,
		}},
		{"our own issuer", identity + "  trust:\n    - {name: a, issuer: \"https://keyhole.example\", algs: [EdDSA], require: {sub: [a]}, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:25: identity.trust[0].issuer: is our own, as identity.issuer says: what our tokens may do is in them, and no rule can be for them`,
		}},
		{"a symmetric algorithm", rule + "      algs: [HS256]\n      audiences: [a]\n      map: {scope: [\"read:**\"]}\n", []string{
			`k.yaml:10:14: identity.trust[0].algs[0]: want one of EdDSA, RS256, ES256, ES384, not "HS256"; did you mean "RS256"?`,
		}},
		{"a rule that maps to nothing", rule + "      audiences: [a]\n", []string{
			`k.yaml:7:7: identity.trust[0].map.scope: this key is required; want a list such as ["a", "b"]`,
		}},
		{"one value without its list", rule + "      require: {sub: x}\n      audiences: [a]\n      map: {scope: [\"read:**\"]}\n", []string{
			`k.yaml:10:22: identity.trust[0].require.sub: want a list such as ["a", "b"], not "x"`,
		}},
		{"a claim required and forbidden, or with no value", rule + "      audiences: [a]\n      require: {act: [x], sub: []}\n      forbid: [act]\n      map: {scope: [\"read:**\"]}\n", []string{
			`k.yaml:11:22: identity.trust[0].require.act: is required and forbidden`,
			`k.yaml:11:32: identity.trust[0].require.sub: allows no value at all; name at least one`,
		}},
		{"a reserved and repeated name", identity + "  trust:\n    - {name: a, template: key, with: {client_id: a}, jwks: \"file:a\", map: {scope: [\"read:**\"]}}\n" +
			"    - {name: a, template: key, with: {client_id: b}, jwks: \"file:b\", map: {scope: [\"read:**\"]}}\n    - {name: local, template: key, with: {client_id: c}, jwks: \"file:c\", map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:10:14: identity.trust[1].name: rule 1 of the list has the same name; revoking one would end the other`,
			`k.yaml:11:14: identity.trust[2].name: "local" is the name of tokens signed with our own key by hand; choose another`,
		}},
		{"what a token becomes", rule + "      audiences: [a]\n      map: {base: /web, scope: [read, \"read:web/{x/*\", \"fly:web\", \"read:{a}/**\"]}\n", []string{
			`k.yaml:11:19: identity.trust[0].map.base: invalid path: empty segment`,
			`k.yaml:11:33: identity.trust[0].map.scope[0]: invalid scope "read": want ACTION:PATTERN, as in read:web/production/*`,
			`k.yaml:11:39: identity.trust[0].map.scope[1]: want {CLAIM} with the name of a claim between the braces`,
			`k.yaml:11:56: identity.trust[0].map.scope[2]: invalid scope: action "fly" is not one of read, list, write, invalidate, revoke, approve`,
			`k.yaml:11:67: identity.trust[0].map.scope[3]: {a}: the rule does not require this claim, so a token could say anything there; add it to require`,
		}},
		{"places where no keys are fetched", identity +
			"  trust:\n    - {name: a, issuer: \"https://[::ffff:169.254.169.254]\", algs: [RS256], require: {sub: [a]}, map: {scope: [\"read:**\"]}}\n" +
			"    - {name: b, issuer: \"https://i.example\", jwks_uri: \"https://127.1/jwks\", algs: [RS256], require: {sub: [a]}, map: {scope: [\"read:**\"]}}\n" +
			"    - {name: c, issuer: \"https://j.example\", jwks_uri: \"https://j.example:8443/jwks?a=b\", algs: [RS256], require: {sub: [a]}, map: {scope: [\"read:**\"]}}\n" +
			"    - {name: d, issuer: \"https://10.0.0.1:6443\", allow_private: true, algs: [RS256], require: {sub: [a]}, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:25: identity.trust[0].issuer: the URL must name its host, unless allow_private says that it is one of our own: an address is not taken; or say with jwks_uri where its keys are`,
			`k.yaml:10:56: identity.trust[1].jwks_uri: the URL must name its host, unless allow_private says that it is one of our own: an address is not taken`,
			`k.yaml:11:56: identity.trust[2].jwks_uri: the URL must not have a port, unless allow_private says that it is one of our own`,
		}},
		{"a template that is none", identity + "  trust:\n    - {name: a, template: versel, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:27: identity.trust[0].template: there is no template "versel"; there are aws, aws-function-url, azure, fly, github, gitlab, google, key, kubernetes, vercel, and a rule for any other issuer has none; did you mean "vercel"?`,
		}},
		{"callers whom nobody vouches for", identity + "  trust:\n    - {name: a, template: aws-function-url, with: {account: \"1\", role: r, role_id: AROA1}, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:27: identity.trust[0].template: believes what the event of an invocation says of the caller, and whoever may invoke the function directly writes that: see to it that nobody may, then say so with identity.function_url_only: true`,
		}},
		{"what a template is not told", identity + "  trust:\n    - {name: a, template: vercel, with: {team: [a, b], owner_id: true, environment: production}, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:41: identity.trust[0].with: template vercel needs project_id (ids of projects, prj_…)`,
			`k.yaml:9:41: identity.trust[0].with: template vercel needs environments (production, preview, or the name of another; development only where it is named)`,
			`k.yaml:9:48: identity.trust[0].with.team: want one value, not a list (the team's name in URLs)`,
			`k.yaml:9:66: identity.trust[0].with.owner_id: want a text, not true or false (the team's id, team_…)`,
			`k.yaml:9:85: identity.trust[0].with.environment: template vercel takes no such key; it takes team, owner_id, project_id, environments, global_issuer, allow_default_audience`,
		}},
		{"what a template was told too wide", rule + "      audiences: [a]\n      map: {scope: [\"read:**\"]}\n    - name: b\n      template: vercel\n      with: {team: t, owner_id: o, project_id: \"p*\", environments: [\"*\"]}\n      audiences: [a]\n      map: {scope: [\"read:**\"]}\n", []string{
			`k.yaml:14:48: identity.trust[1].with.project_id: "*" stands for one whole segment between colons, and "p*" is only part of one: it would also take names that somebody else can register; write the segment out`,
			`k.yaml:14:68: identity.trust[1].with.environments: "*" would take every environment, development too; write out which`,
		}},
		{"a rule for strangers", identity + "  trust:\n    - {name: ci, issuer: \"https://token.actions.githubusercontent.com\", algs: [RS256], require: {repository: [acme/web]}, map: {scope: [\"read:**\"]}}\n", []string{
			`k.yaml:9:97: identity.trust[0].require: takes tokens of strangers: https://token.actions.githubusercontent.com signs for everybody who has an account there. needs an immutable id with its values written out, one of repository_id, repository_owner_id, enterprise_id, sub; repository is none: names are given to others after a rename; use repository_id`,
		}},

		{"no type", base + "upstreams:\n  a: {path: x}\n", []string{
			`k.yaml:6:6: upstreams.a.type: this key is required; want one of embedded, vault, secretsmanager, parameterstore, keyhole`,
		}},
		{"an unknown type", base + "upstreams:\n  a: {type: valut, address: x}\n", []string{
			`k.yaml:6:13: upstreams.a.type: want one of embedded, vault, secretsmanager, parameterstore, keyhole, not "valut"; did you mean "vault"?`,
		}},
		{"a key of another type", base + "upstreams:\n  a: {type: embedded, path: v.db, key: env:K, address: x}\n", []string{
			`k.yaml:6:47: upstreams.a.address: only type vault has this key, not type embedded`,
		}},
		{"an unknown key beside a type's own", base + "upstreams:\n  a: {type: embedded, pth: v.db, path: v.db, key: env:K}\n", []string{
			`k.yaml:6:23: upstreams.a.pth: unknown key; did you mean "path"?`,
		}},
		{"a name that is none", base + "upstreams:\n  \"a b\": {type: embedded, path: v.db, key: env:K}\n", []string{
			`k.yaml:6:3: upstreams["a b"]: want a name such as web-1 (letters, digits, _ . -; at most 64)`,
		}},
		{"a login without its method", vault, []string{
			`k.yaml:7:5: upstreams.bao.auth.method: this key is required; want one of token, approle, jwt, kubernetes`,
		}},
		{"a third version of KV", vault + "    auth: {method: approle, role_id: env:R, secret_id: env:S}\n    kv: {version: 3, mount: \"\"}\n", []string{
			`k.yaml:10:19: upstreams.bao.kv.version: must be between 1 and 2, not 3`,
			`k.yaml:10:29: upstreams.bao.kv.mount: must not be empty; want a string`,
		}},
		{"a login of another kind", vault + "    auth: {method: kubernetes, role: r, secret_id: env:S}\n    tls: {cert: env:C}\n", []string{
			`k.yaml:9:41: upstreams.bao.auth.secret_id: only method approle has this key, not method kubernetes`,
			`k.yaml:10:10: upstreams.bao.tls.key: is needed with cert`,
		}},
		{"mounts that are none", vault + "    auth: {method: jwt, role: r, jwt: env:J, mount: jwt/}\n    kv: {mount: /kv}\n    tls: {key: env:K}\n", []string{
			`k.yaml:9:53: upstreams.bao.auth.mount: want a path such as secret or kv/apps, without a slash at the end, not "jwt/"`,
			`k.yaml:10:17: upstreams.bao.kv.mount: want a path such as secret or kv/apps, without a slash at the end, not "/kv"`,
			`k.yaml:11:10: upstreams.bao.tls.cert: is needed with key`,
		}},

		{"an unknown upstream", strings.Replace(mount, "upstream: local", "upstream: locla", 1), []string{
			`k.yaml:8:15: mounts[0].upstream: no upstream has the name "locla"; did you mean "local"?`,
		}},
		{"a path twice", mount + "  - {path: web, upstream: local}\n", []string{`k.yaml:9:12: mounts[1].path: mounts[0] has the same path`}},
		{"a path that is none", mount + "  - {path: /a, upstream: local}\n  - {path: a/../b, upstream: local}\n  - {upstream: local}\n", []string{
			`k.yaml:9:12: mounts[1].path: invalid path: empty segment`,
			`k.yaml:10:12: mounts[2].path: invalid path: segment ".."`,
			`k.yaml:11:5: mounts[3].path: this key is required; want a path such as web/production`,
		}},
		{"soft beyond hard", mount + "    cache: {soft_ttl: 10m}\n", []string{`k.yaml:9:23: mounts[0].cache.soft_ttl: is 10m, longer than hard_ttl, which is 5m`}},
		{"an unknown classification", mount + "    labels: {classification: secret}\nlabels:\n  - {match: a, set: {classification: restriced}}\n", []string{
			`k.yaml:9:30: mounts[0].labels.classification: want one of public, internal, confidential, restricted, not "secret"`,
			`k.yaml:11:38: labels[0].set.classification: want one of public, internal, confidential, restricted, not "restriced"; did you mean "restricted"?`,
		}},
		{"the ARN of another service", base + "upstreams: {sm: {type: secretsmanager}, ssm: {type: parameterstore}}\nmounts:\n" +
			"  - {path: a, upstream: sm, at: \"arn:aws:ssm:eu-west-1:1:parameter/a\"}\n  - {path: b, upstream: ssm, at: \"arn:aws:ssm::1:parameter/a\"}\n" +
			"  - {path: c, upstream: sm, at: \"arn:aws:secretsmanager:eu-west-1:1:secret:a-AbCdEf\"}\n  - {path: d, upstream: ssm, at: \"arn:aws:ssm:eu-west-1:1:parameter/a\"}\n", []string{
			`k.yaml:7:33: mounts[0].at: is no ARN of sm, which begins arn:aws:secretsmanager:REGION:ACCOUNT:secret:`,
			`k.yaml:8:34: mounts[1].at: is no ARN of ssm, which begins arn:aws:ssm:REGION:ACCOUNT:parameter/`,
		}},
		{"another Keyhole without TLS", base + "upstreams:\n  a: {type: keyhole, address: \"http://keyhole.internal\", auth: {method: token, token: \"env:T\"}}\n" +
			"  b: {type: keyhole, address: \"http://[::1]:8640\", auth: {method: aws, algorithm: HS256}}\n  c: {type: keyhole, address: \"https://k.example\", auth: {method: key}}\n", []string{
			`k.yaml:6:31: upstreams.a.address: is http on another machine, where tokens and secrets can be read on the way; want https, or say insecure_http: true`,
			`k.yaml:7:83: upstreams.b.auth.algorithm: want one of ES384, RS256, not "HS256"; did you mean "RS256"?`,
			`k.yaml:8:58: upstreams.c.auth.key: this key is required; want a reference such as file:keys/NAME.pem or env:NAME`,
		}},
		{"a role where there is no AWS", mount + "    assume_role: {arn: \"arn:aws:iam::1:role/x\"}\n  - {path: b, upstream: local, assume_role: {external_id: e}}\n", []string{
			`k.yaml:9:18: mounts[0].assume_role: is for AWS upstreams; local is of type embedded`,
			`k.yaml:10:45: mounts[1].assume_role.arn: is needed with external_id`,
		}},
		{"a pattern that is none", base + "labels:\n  - {match: \"a/**/b\", set: {a: b}}\n", []string{
			`k.yaml:6:13: labels[0].match: invalid pattern "a/**/b": "**" may stand only as the last segment`,
		}},

		{"no policy", base + "policy: {chain: []}\n", []string{`k.yaml:5:17: policy.chain: is empty, which would deny everything; leave it out for builtin:scope`}},
		{"signatures", base + "policy:\n  chain:\n    - {bundle: file:a}\n    - {bundle: file:a, verify: file:k, unsigned: true}\n    - {bundle: builtin:scope, verify: file:k}\n    - {bundle: builtin:scope, unsigned: true}\n", []string{
			`k.yaml:7:7: policy.chain[0].verify: is needed for a file; or say unsigned: true`,
			`k.yaml:8:50: policy.chain[1].unsigned: contradicts verify`,
			`k.yaml:9:39: policy.chain[2].verify: a built-in policy has no signature`,
			`k.yaml:10:41: policy.chain[3].unsigned: a built-in policy has no signature`,
		}},
		{"not a policy", base + "policy:\n  chain:\n    - {bundle: scope}\n    - {bundle: builtin:scope, data: [1]}\n", []string{
			`k.yaml:7:16: policy.chain[0].bundle: want a reference such as builtin:scope or file:policies/web.bundle, not this text`,
			`k.yaml:8:37: policy.chain[1].data: want an object of names and values, not a list`,
		}},
		{"a second level without its key", base + "cache:\n  second_level: {enabled: true}\n", []string{
			`k.yaml:6:17: cache.second_level.key: is needed when enabled is true; want a reference such as file:keys/l2.key`,
		}},
		{"an unknown store", base + "state: {type: fiel}\n", []string{`k.yaml:5:15: state.type: want one of memory, file, nats, dynamodb, not "fiel"; did you mean "file"?`}},
		{"a path for memory", base + "state: {type: memory, path: x}\n", []string{`k.yaml:5:23: state.path: only type file has this key, not type memory`}},
		{"no sinks", "version: 1\naudit: {key: env:A, sinks: []}\n", []string{`k.yaml:2:28: audit.sinks: must not be empty; want a list of objects`}},
		{"no required sink", "version: 1\naudit: {key: env:A, sinks: [{type: stdout, required: false}]}\n", []string{
			`k.yaml:2:28: audit.sinks: none is required, so values could leave without a record; set required: true on one`,
		}},
		{"strict over what nobody acknowledges", "version: 1\naudit: {durability: strict, key: env:A, sinks: [{type: stdout}]}\n", []string{
			`k.yaml:2:21: audit.durability: strict wants an acknowledgement, and nobody acknowledges what is written to stdout; say process, or require another sink`,
		}},
		{"one file for two things", base + "state: {path: ./x.db}\nupstreams: {a: {type: embedded, path: sub/../x.db, key: env:K}}\n", []string{
			`k.yaml:6:39: upstreams.a.path: state.path is the same file`,
		}},
		{"a conflict that is only another problem", mount + "    cache: {soft_ttl: 10m, hard_tll: 20m}\n", []string{`k.yaml:9:28: mounts[0].cache.hard_tll: unknown key; did you mean "hard_ttl"?`}},
		{"a conflict beside another problem", mount + "    layot: fields\n    cache: {soft_ttl: 10m}\n", []string{
			`k.yaml:9:5: mounts[0].layot: unknown key; did you mean "layout"?`,
			`k.yaml:10:23: mounts[0].cache.soft_ttl: is 10m, longer than hard_ttl, which is 5m`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode("k.yaml", tt.text)
			if got := problems(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestJSONProblemsHavePlaces(t *testing.T) {
	_, err := config.ReadJSON("k.json", []byte("{\"version\": 1,\n \"version\": 1}"))
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "k.json:2:2: ") {
		t.Errorf("got %q", got)
	}
	doc, err := config.ReadJSON("k.json", []byte("{\"version\": 1,\n \"audit\": {\"key\": \"env:A\", \"sinks\": [{\"typ\": \"file\"}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = doc.Decode()
	want := []string{
		`k.json:2:38: audit.sinks[0].type: this key is required; want one of file, stdout, dynamodb, firehose`,
		`k.json:2:39: audit.sinks[0].typ: unknown key; did you mean "type"?`,
	}
	if got := problems(t, err); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestManyProblems: a list of a thousand is no help.
func TestManyProblems(t *testing.T) {
	_, err := decode("k.yaml", base+"mounts:\n"+strings.Repeat("  - {}\n", 1000))
	got := problems(t, err)
	if len(got) != 51 || got[50] != "k.yaml: 1950 more problems" {
		t.Errorf("got %d problems, the last %q", len(got), got[len(got)-1])
	}
}

// TestNoSecretInProblems: whatever stands where a reference belongs may be the secret itself.
func TestNoSecretInProblems(t *testing.T) {
	const canary = "sk_live_51Hcanary"
	tried := 0
	for _, name := range []string{"full.yaml", "every.yaml"} {
		text := string(readFile(t, name))
		for _, scheme := range []string{"file:", "env:", "kms:", "builtin:", "https://", "http://"} {
			for rest, start := text, 0; ; {
				at := strings.Index(rest, scheme)
				if at < 0 {
					break
				}
				start += at
				end := start + strings.IndexAny(text[start:], "\"',}] \n")
				for _, secret := range []string{canary, "pw:" + canary + "@", "env:" + canary + "-$", "{a: " + canary + "}", "[" + canary + "]", "&" + canary, "*" + canary, "!" + canary} {
					_, err := decode("k.yaml", text[:start]+secret+text[end:])
					if err != nil && strings.Contains(err.Error(), canary) {
						t.Errorf("at %q: %v", text[start:end], err)
					}
					tried++
				}
				start = end
				rest = text[start:]
			}
		}
	}
	if tried < 200 {
		t.Errorf("%d places tried only", tried)
	}
}
