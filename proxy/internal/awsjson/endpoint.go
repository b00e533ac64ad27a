package awsjson

import (
	"slices"
	"strings"
)

// partition is one of the clouds of AWS, which share neither accounts nor names.
type partition struct{ name, region, domain string } // region is how the names of its regions begin

// partitions has longer beginnings before shorter ones, and the one of all other regions at the end.
var partitions = [...]partition{
	{"aws-cn", "cn-", "amazonaws.com.cn"},
	{"aws-us-gov", "us-gov-", "amazonaws.com"},
	{"aws-iso-b", "us-isob-", "sc2s.sgov.gov"},
	{"aws-iso-f", "us-isof-", "csp.hci.ic.gov"},
	{"aws-iso", "us-iso-", "c2s.ic.gov"},
	{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk"},
	{"aws-eusc", "eusc-", "amazonaws.eu"},
	{"aws", "", "amazonaws.com"},
}

func partitionIn(region string) partition {
	i := slices.IndexFunc(partitions[:], func(p partition) bool { return strings.HasPrefix(region, p.region) })
	return partitions[i] // the last has every region
}

// partitionOf is the name of the partition of a region, as it stands in ARNs.
func partitionOf(region string) string { return partitionIn(region).name }

// endpointOf is the URL of a service: the one that is set, or AWS's own for the region.
func endpointOf(set, service, region string) string {
	if set != "" {
		return strings.TrimRight(set, "/") + "/"
	}
	return "https://" + service + "." + region + "." + partitionIn(region).domain + "/"
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
