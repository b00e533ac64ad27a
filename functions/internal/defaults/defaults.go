// Package defaults makes the configuration of an extension that was given none, from the environment variables of the AWS
// Parameters and Secrets Lambda Extension and KEYHOLE_URL. A value that it does not understand is an error and never a
// default: whoever set it relies on it.
package defaults

import (
	"cmp"
	"errors"
	"net"
	"strconv"
)

// cacheBytes is the room for what is kept: a thousand secrets as they usually are, not a thousand of the largest. The
// memory is the function's.
const cacheBytes = "8MiB"

// Document is the configuration in JSON. Where KEYHOLE_URL names a Keyhole the extension asks that one, else Secrets
// Manager and Parameter Store, as the function itself could.
func Document(getenv func(string) string) ([]byte, error) {
	if Token(getenv) == "" {
		return nil, errors.New("AWS_SESSION_TOKEN: it is not set, and neither is AWS_CONTAINER_AUTHORIZATION_TOKEN: nobody could prove to be the function")
	}
	s, err := read(getenv)
	if err != nil {
		return nil, err
	}
	doc := object{
		"version": 1,
		"region":  getenv("AWS_REGION"),
		"cache":   object{"entries": max(s.entries, 1), "bytes": cacheBytes},
		"state":   object{"type": "memory"},
		"audit":   object{"durability": "process", "sinks": []object{{"type": "stdout", "required": true}}},
		"log":     object{"level": s.level},
	}
	if url := getenv("KEYHOLE_URL"); url != "" {
		remote(doc, s, url, getenv)
	} else {
		local(doc, s)
	}
	return appendJSON(nil, doc), nil
}

// Token is what the environment of the function and its extension has, and no other: the session token of the function's
// role, or where there is none, as under SnapStart, that for the endpoint of its credentials. "" where there is neither.
func Token(getenv func(string) string) string {
	return cmp.Or(getenv("AWS_SESSION_TOKEN"), getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// local reads the two services with the function's role.
func local(doc object, s *settings) {
	const secrets, parameters = "secretsmanager", "parameterstore"
	doc["listen"] = object{"aws": object{"address": loopback(s.port), "secrets": secrets, "parameters": parameters}}
	doc["upstreams"] = object{
		secrets:    s.upstream(s.secrets, object{"type": secrets}),
		parameters: s.upstream(s.parameters, object{"type": parameters}),
	}
	doc["mounts"] = []object{
		{"path": secrets, "upstream": secrets, "cache": s.secrets.cache()},
		{"path": parameters, "upstream": parameters, "cache": s.parameters.cache()},
	}
}

// remote reads another Keyhole, whose paths the names of both services are. How it shows who it is says the first of
// KEYHOLE_TOKEN and KEYHOLE_KEY that is set, else the function's role.
func remote(doc object, s *settings, url string, getenv func(string) string) {
	auth := object{"method": "aws"}
	switch {
	case getenv("KEYHOLE_TOKEN") != "":
		auth = object{"method": "token", "token": "env:KEYHOLE_TOKEN"}
	case getenv("KEYHOLE_KEY") != "":
		auth = object{"method": "key", "key": "env:KEYHOLE_KEY"}
	}
	both := s.secrets.stricter(s.parameters)
	doc["listen"] = object{"aws": object{"address": loopback(s.port)}}
	doc["upstreams"] = object{"region": s.upstream(both, object{"type": "keyhole", "address": url, "auth": auth})}
	doc["mounts"] = []object{{"path": "", "upstream": "region", "cache": both.cache()}}
}
