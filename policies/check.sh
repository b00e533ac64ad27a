#!/bin/sh
# Rebuilds every guest and compares it with what is committed, byte for byte. Without the toolchain that TOOLCHAIN names
# it says that the comparison was skipped.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$here/build.sh" "$tmp" >"$tmp/log"
if ! grep -qx 'policies: built' "$tmp/log"; then
	cat "$tmp/log"
	echo "policies: comparison skipped"
	exit 0
fi
status=0
for f in scope.wasm attributes.wasm testdata/scope_json.wasm; do
	cmp "$tmp/$f" "$here/$f" || status=1
done
[ "$status" = 0 ] && echo "policies: the committed modules are what their sources build"
exit "$status"
