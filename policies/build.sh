#!/bin/sh
# Builds every guest into a directory (default: this one). Only the compiler and linker that TOOLCHAIN names give the
# committed bytes, so with any other the committed modules stay as they are.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}

pinned() { sed -n "s/^$1: //p" "$here/TOOLCHAIN"; }
cc=$(command -v clang-14 || command -v clang || true)
ld=$(command -v wasm-ld-14 || command -v wasm-ld || true)
if [ "$("${cc:-false}" --version | head -n 1)" != "$(pinned clang)" ] ||
	[ "$("${ld:-false}" --version)" != "$(pinned lld)" ]; then
	echo "policies: not rebuilt: needs $(pinned clang) and $(pinned lld) (Debian: $(pinned packages))"
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out/testdata"

# guest NAME MEMORY_BYTES OUT: memory is fixed, so that no guest can grow it.
guest() {
	"$cc" --target=wasm32-unknown-unknown -std=c11 -Os -ffreestanding -mbulk-memory -Wall -Wextra -Werror \
		-c "$here/src/$1.c" -o "$tmp/$1.o"
	"$ld" -m wasm32 --no-entry --strip-all --compress-relocations --stack-first -z stack-size=16384 \
		--initial-memory="$2" --max-memory="$2" "$tmp/$1.o" -o "$tmp/$1.wasm"
	(cd "$here" && go run ./internal/pack "$tmp/$1.wasm" "src/$1.manifest.json" "$tmp/$1.packed")
	mv "$tmp/$1.packed" "$3"
}
guest scope 131072 "$out/scope.wasm"
guest attributes 196608 "$out/attributes.wasm"
guest scope_json 196608 "$out/testdata/scope_json.wasm"
echo "policies: built"
