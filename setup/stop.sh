#!/usr/bin/env bash
# Stops the demo's server.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ -e $root/.ragstone/cluster ]] || exit 0
"$here/cluster.sh" stop "$root/.ragstone"
rm -f "$root/.ragstone/env"
