#!/usr/bin/env bash
# Checks the licences and sources of the dependencies, that no crate is used in two versions without a reason,
# and, if the advisory database can be reached, that no dependency has a known vulnerability.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cargo_tool cargo-deny 0.20.2
cd "$root"
deny=(cargo deny --config setup/deny.toml --workspace)
"${deny[@]}" check --hide-inclusion-graph bans licenses sources
if timeout 60 "${deny[@]}" --log-level off fetch db 2>/dev/null; then
  "${deny[@]}" check --disable-fetch --hide-inclusion-graph advisories
else
  say "advisories are not checked: their database cannot be reached"
fi
