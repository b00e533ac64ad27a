package awsjson

// EndpointOf is the URL that a service of a region is called at.
var EndpointOf = endpointOf
