#!/usr/bin/env bash
# Runs the tests that are inside the extension (#[pg_test]), in a server made for them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(mktemp --directory)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
options=()
# As somebody who may not write to PostgreSQL's folders, cargo-pgrx installs by sudo when it is told whom to run as.
if ((EUID == 0)) || [[ ! -w $(pg pkglibdir) ]]; then
  options=(--runas "$(server_user)" --pgdata "$folder/data")
  chown "$(server_user):" "$folder"
  # It copies into the library's file then, and would change it under the servers that have it mapped.
  as_root rm -f "$(pg pkglibdir)/ragstone.so" || true
fi
[[ -z ${RAGSTONE_PROFILE:-} ]] || options+=(--profile "$RAGSTONE_PROFILE")
cd "$root"
CARGO_TARGET_DIR=$(extension_target) cargo pgrx test "${options[@]}" "pg$(pg_major)"
