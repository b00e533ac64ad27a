package policies

import "embed"

//go:embed all:native/linux-amd64
var native embed.FS

const nativeDir = "native/linux-amd64"
