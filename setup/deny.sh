#!/usr/bin/env bash
# Checks the licences and the sources of the dependencies, that no crate is there twice without a reason, and, where the database of
# advisories can be reached, that none of them is known to be unsafe.
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
