#!/bin/sh
# Makes the machine code of the builtin policies that the next build embeds, anew, for the architectures given (default:
# amd64 arm64): under native/ of this directory, or of the directory that NATIVE_OUT names. A foreign architecture needs
# qemu-user-static; without it that architecture has none, and its programs compile at start. GO is the Go command.
#
# The key of machine code holds the processor features that the engine asks for, so there is a set for each of two
# levels: on amd64 with and without BMI (x86-64-v3 and -v2), on arm64 with and without LSE atomics. A processor that is
# neither compiles at start.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${NATIVE_OUT:-$here/native}
go=${GO:-go}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ $# -gt 0 ] || set -- amd64 arm64

level() { # COMMAND…: what the engine sees as this processor
	"$@" "$tmp/linux-$arch" >>"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 1; }
}

for arch; do
	case $arch in
	amd64) qemu=qemu-x86_64-static older=cpu.bmi1=off,cpu.bmi2=off ;;
	arm64) qemu=qemu-aarch64-static older=cpu.atomics=off ;;
	*) echo "policies: no machine code for $arch: the engine interprets there"; continue ;;
	esac
	find "$out/linux-$arch" -type f ! -name '.*' -exec rm -f {} + 2>/dev/null || true
	run=
	if [ "$("$go" env GOHOSTOS)/$("$go" env GOHOSTARCH)" != "linux/$arch" ]; then
		if ! command -v "$qemu" >/dev/null; then
			echo "policies: no machine code for linux/$arch: needs $qemu (Debian: qemu-user-static)"
			continue
		fi
		run="$qemu -cpu max"
	fi
	(cd "$here" && CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$go" build -trimpath -o "$tmp/precompile" ./internal/precompile)
	mkdir -p "$tmp/linux-$arch" "$out/linux-$arch"
	# shellcheck disable=SC2086 # run is a command with its arguments
	level env GODEBUG= $run "$tmp/precompile"
	# shellcheck disable=SC2086
	level env GODEBUG=$older $run "$tmp/precompile"
	cp "$tmp/linux-$arch"/* "$out/linux-$arch/"
	echo "policies: machine code for linux/$arch: $(ls "$tmp/linux-$arch" | wc -l) files"
done
