//go:build !linux || !(amd64 || arm64)

package policies

import "embed"

var native embed.FS

const nativeDir = ""
