package awsjson

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// diagnose says what an error means for whoever set the upstream up. The names of errors are those of AWS's lists of
// common errors; their messages tell apart what has one name (IAM User Guide, "Troubleshoot Signature Version 4").
func (c *Client) diagnose(err error, h heard, role string) secret.Trouble {
	t := func(where, what, fix string) secret.Trouble {
		return secret.Trouble{What: what, Where: where, Fix: fix}
	}
	code, said := strings.TrimSuffix(h.code, "Exception"), func(part string) bool { return strings.Contains(h.message, part) }
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrClock), code == "RequestTimeTooSkewed", code == "RequestInTheFuture",
		said("Signature expired"), said("Signature not yet current"):
		return t("", "AWS takes no signature of this machine, whose clock is more than 5 minutes wrong", "set the clock (NTP)")
	case said("Credential should be scoped to a valid "):
		return t(c.placeKey(), "the endpoint answers for another region than "+c.region, "make region and endpoint (AWS_REGION, AWS_ENDPOINT_URL) name the same one")
	case code == "ExpiredToken", code == "RequestExpired", code == "TokenRefreshRequired":
		return t("", "the AWS credentials have expired", "get new ones: log in again (aws sso login), or see what should renew AWS_SESSION_TOKEN")
	case code == "UnrecognizedClient", code == "InvalidClientTokenId", code == "InvalidAccessKeyId", code == "InvalidToken", code == "AuthFailure":
		return t("", "AWS does not know the access key or its session token",
			"look whether the key is deleted or inactive, lacks its AWS_SESSION_TOKEN, is of another partition, or the account has not enabled the region "+c.region)
	case code == "SignatureDoesNotMatch", code == "InvalidSignature", code == "IncompleteSignature", code == "MissingAuthenticationToken":
		return t("", "AWS does not take the signature", "correct the secret access key; if it is right, look at what stands before AWS and changes requests")
	case code == "OptInRequired", code == "SubscriptionRequired", code == "RegionDisabled":
		return t("region", "the account does not use "+c.service.Name+" in "+c.region, "enable the region or the service, or set another region")
	case code == "UnknownOperation":
		return t("endpoint", "what answers there is another service than "+c.service.Name, "correct endpoint or AWS_ENDPOINT_URL")
	case role != "" && errors.Is(err, ErrLogin) && h.code != "":
		return t(role, err.Error()+reason(h.message),
			"in the role's trust policy let the credentials it is assumed with do sts:AssumeRole, with the same sts:ExternalId, and let their own policy do so on the role: docs/upstreams.md")
	case errors.Is(err, ErrLogin) && h.code == "" && role == "":
		return t("", err.Error(), "there are none in the chain, or they cannot be had: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where AWS gives a role")
	case errors.As(err, &dns) && dns.IsNotFound:
		return t(c.placeKey(), "there is no such host: "+hostOf(endpointOf(c.endpoint, c.service.Name, c.region)), "correct region or endpoint")
	case errors.Is(err, ErrMalformed):
		return t("endpoint", err.Error(), "set the endpoint of AWS itself; a gateway or a login page may stand before it")
	case errors.Is(err, secret.ErrThrottled):
		return t("limits.rate", err.Error(), "ask again; where it stays, lower limits.rate or have the quota raised")
	}
	return t(c.placeKey(), err.Error(), "look at region and endpoint, at AWS_CA_BUNDLE, and at routes, firewalls and VPC endpoints between here and AWS")
}

// placeKey is the key that says where to call.
func (c *Client) placeKey() string {
	if c.endpoint != "" {
		return "endpoint"
	}
	return "region"
}

// roleKey is the key of what our rights come from; "" where that is the credentials themselves.
func (c *Client) roleKey() string {
	if a, ok := c.sessions.provider.(*assumer); ok {
		return a.role.Key
	}
	return ""
}

// reason is why AWS refuses, where it says more than that nothing allows it (IAM User Guide, "Troubleshoot access denied
// error messages").
func reason(message string) string {
	kind := ""
	for _, k := range [...]string{"service control policy", "resource control policy", "VPC endpoint policy", "permissions boundary", "session policy", "resource-based policy", "identity-based policy"} {
		if strings.Contains(message, k) {
			kind = k
			break
		}
	}
	switch {
	case strings.Contains(message, "explicit deny") && kind != "":
		return ", by an explicit deny in a " + kind
	case strings.Contains(message, "explicit deny"):
		return ", by an explicit deny"
	case kind != "":
		return ", for no " + kind + " allows it"
	}
	return ""
}

// misplaced finds what cannot go together: roles and places of another partition of AWS than the region, and the endpoint
// of another region.
func (c *Client) misplaced(places []string) (found []secret.Trouble) {
	add := func(where, what, fix string) {
		found = append(found, secret.Trouble{What: what, Where: where, Fix: fix})
	}
	if r := regionIn(hostOf(c.endpoint)); r != "" && r != c.region {
		add("endpoint", fmt.Sprintf("the endpoint is of %s, and the region is %s", r, c.region), "make both name the same region")
	}
	ours := partitionOf(c.region)
	for k := c.sessions; ; {
		a, ok := k.provider.(*assumer)
		if !ok {
			break
		}
		if p := partOf(a.role.ARN, 1); p != ours {
			add(a.role.Key, fmt.Sprintf("the role is of the partition %s, and the region %s of %s", p, c.region, ours), "correct the ARN or region")
		}
		k = a.from
	}
	for _, place := range places {
		arn, ok := ParseARN(place)
		switch {
		case !ok:
		case arn.Service != c.service.Name:
			add("type", place+" is of the service "+arn.Service+", not "+c.service.Name, "correct the mount's at, or use an upstream of the other type")
		case arn.Partition != partitionOf(arn.Region) || arn.Partition != ours:
			add("region", fmt.Sprintf("%s is of the partition %s, and the region %s of %s", place, arn.Partition, c.region, ours), "correct the mount's at or region: credentials are of one partition")
		case c.endpoint != "" && arn.Region != c.region && regionIn(hostOf(c.endpoint)) != "":
			add("endpoint", fmt.Sprintf("%s is in %s, and the endpoint is of %s", place, arn.Region, c.region), "use an upstream without endpoint, or with that of the other region")
		}
	}
	return found
}

// partOf is one part of an ARN, which may lack others.
func partOf(arn string, i int) string {
	if parts := strings.Split(arn, ":"); i < len(parts) {
		return parts[i]
	}
	return ""
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// regionIn is the region in the name of a host of AWS; "" for other hosts.
func regionIn(host string) string {
	for _, p := range partitions {
		name, ok := strings.CutSuffix(host, "."+p.domain)
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, ".vpce")
		return name[strings.LastIndexByte(name, '.')+1:]
	}
	return ""
}
