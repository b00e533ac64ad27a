package policies

import "embed"

//go:embed all:native/linux-arm64
var native embed.FS

const nativeDir = "native/linux-arm64"
