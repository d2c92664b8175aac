#!/usr/bin/env bash
# Removes the demo's server and the build output of this checkout; downloads stay in the cache.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$here/stop.sh"
if [[ -L $root/.ragstone/cluster ]]; then as_server rm -rf "$(readlink --canonicalize "$root/.ragstone/cluster")"; fi
rm -rf "$root/.ragstone" "$CARGO_TARGET_DIR" "$cache/stage"
