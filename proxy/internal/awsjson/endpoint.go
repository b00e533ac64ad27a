package awsjson

import "strings"

// suffixes are the domains of AWS's partitions, by how the names of their regions begin.
var suffixes = [...]struct{ region, domain string }{
	{"cn-", "amazonaws.com.cn"},
	{"us-isob-", "sc2s.sgov.gov"},
	{"us-isof-", "csp.hci.ic.gov"},
	{"us-iso-", "c2s.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk"},
	{"eusc-", "amazonaws.eu"},
}

// endpointOf is the URL of a service: the one that is set, or AWS's own for the region.
func endpointOf(set, service, region string) string {
	if set != "" {
		return strings.TrimRight(set, "/") + "/"
	}
	for _, s := range suffixes {
		if strings.HasPrefix(region, s.region) {
			return "https://" + service + "." + region + "." + s.domain + "/"
		}
	}
	return "https://" + service + "." + region + ".amazonaws.com/"
}

func notName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

// ARN is the parts of a resource's name in AWS: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE.
type ARN struct{ Partition, Service, Region, Account, Resource string }

// ParseARN takes s apart. All parts but the resource must be names, none of them empty.
func ParseARN(s string) (ARN, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[5] == "" {
		return ARN{}, false
	}
	for _, p := range parts[1:5] {
		if p == "" || strings.ContainsFunc(p, notName) {
			return ARN{}, false
		}
	}
	return ARN{parts[1], parts[2], parts[3], parts[4], parts[5]}, true
}
